// The player of the page.
