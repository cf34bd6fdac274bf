//! Texts as they were rendered: once per change, shared by all who ask, in gzip too.
//!
//! Belongs here: what is kept of them, and how little. Does not: what is in them (`delivery/`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use crate::delivery::carry::carry;
use crate::delivery::encoding::{Beginning, Text};
use crate::origin::Revision;

/// Bytes kept of the texts of one playlist that carry query parameters. Viewers who share them, such as an access token,
/// share the text; who sends a new one each time pushes out what others sent before, and fills nothing.
const MAX_CARRIED_BYTES: usize = 256 * 1024;

/// One playlist at its latest revision asked for.
#[derive(Default)]
pub(super) struct Texts(RefCell<Latest>);

#[derive(Default)]
struct Latest {
    revision: Revision,
    bare: Option<Rc<Text>>,
    /// By what is carried, oldest first.
    carried: VecDeque<(String, Rc<Text>)>,
    carried_bytes: usize,
}

impl Texts {
    /// The playlist as it is `now`, with `suffix` behind every URI. `render` makes it without.
    pub(super) fn text(
        &self,
        now: Revision,
        suffix: &str,
        render: impl FnOnce() -> Option<Bytes>,
    ) -> Option<Rc<Text>> {
        let mut latest = self.0.borrow_mut();
        if latest.revision != now {
            *latest = Latest {
                revision: now,
                ..Latest::default()
            };
        }
        let bare = match &latest.bare {
            Some(bare) => Rc::clone(bare),
            None => Rc::clone(latest.bare.insert(Rc::new(Text::new(render()?)))),
        };
        if suffix.is_empty() {
            return Some(bare);
        }
        if let Some((_, text)) = latest.carried.iter().find(|(known, _)| known == suffix) {
            return Some(Rc::clone(text));
        }
        let text = Rc::new(Text::new(carry(bare.plain(), suffix)));
        latest.keep(suffix, &text);
        Some(text)
    }
}

impl Latest {
    fn keep(&mut self, suffix: &str, text: &Rc<Text>) {
        let size = size_of(suffix, text);
        if size > MAX_CARRIED_BYTES {
            return;
        }
        while self.carried_bytes + size > MAX_CARRIED_BYTES
            && let Some((suffix, text)) = self.carried.pop_front()
        {
            self.carried_bytes -= size_of(&suffix, &text);
        }
        self.carried_bytes += size;
        self.carried.push_back((suffix.to_owned(), Rc::clone(text)));
    }
}

/// What the texts of one document begin with, at the latest revision asked for.
#[derive(Default)]
pub(super) struct Beginnings(RefCell<Option<(Revision, Beginning)>>);

impl Beginnings {
    /// The document as it is `now`, with this end. `render` makes the rest.
    pub(super) fn text(&self, now: Revision, end: &str, render: impl FnOnce() -> String) -> Text {
        let mut latest = self.0.borrow_mut();
        let kept = latest.take().filter(|(revision, _)| *revision == now);
        let (_, beginning) = latest.insert(kept.unwrap_or_else(|| (now, Beginning::new(render()))));
        beginning.with(end)
    }
}

/// With room for its compressed form, which is never larger.
fn size_of(suffix: &str, text: &Text) -> usize {
    suffix.len() + 2 * text.plain().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn ask(texts: &Texts, revision: u64, suffix: &str, renders: &Cell<u32>) -> Rc<Text> {
        texts
            .text(Revision(revision), suffix, || {
                renders.set(renders.get() + 1);
                Some(Bytes::from(format!("#EXTM3U\n{}\n", "x".repeat(1000))))
            })
            .unwrap()
    }

    #[test]
    fn rendered_once_per_change_whatever_is_carried() {
        let (texts, renders) = (Texts::default(), Cell::new(0));
        let first = ask(&texts, 1, "?s=1", &renders);
        assert!(Rc::ptr_eq(&first, &ask(&texts, 1, "?s=1", &renders)));
        assert!(first.plain().ends_with(b"x?s=1\n"));
        let other = ask(&texts, 1, "?s=2", &renders);
        assert!(other.plain().ends_with(b"x?s=2\n"));
        assert!(ask(&texts, 1, "", &renders).plain().ends_with(b"x\n"));
        assert_eq!(renders.get(), 1);
        let next = ask(&texts, 2, "?s=1", &renders);
        assert!(!Rc::ptr_eq(&first, &next));
        assert_eq!(renders.get(), 2);
        assert_eq!(texts.0.borrow().carried.len(), 1, "old ones are gone");
    }

    #[test]
    fn a_beginning_is_rendered_once_per_change() {
        let (beginnings, renders) = (Beginnings::default(), Cell::new(0));
        let ask = |revision, end: &str| {
            let text = beginnings.text(Revision(revision), end, || {
                renders.set(renders.get() + 1);
                format!("revision {revision}")
            });
            text.plain().clone()
        };
        assert_eq!(ask(1, ", now"), "revision 1, now");
        assert_eq!(ask(1, ", later"), "revision 1, later");
        assert_eq!(renders.get(), 1);
        assert_eq!(ask(2, ", now"), "revision 2, now");
        assert_eq!(renders.get(), 2);
    }

    #[test]
    fn ever_new_parameters_fill_no_memory() {
        let (texts, renders) = (Texts::default(), Cell::new(0));
        for number in 0..2000 {
            ask(&texts, 1, &format!("?s={number}"), &renders);
            assert!(texts.0.borrow().carried_bytes <= MAX_CARRIED_BYTES);
        }
        let latest = texts.0.borrow();
        assert!(
            (50..200).contains(&latest.carried.len()),
            "{}",
            latest.carried.len()
        );
        let kept: usize = latest
            .carried
            .iter()
            .map(|(suffix, text)| size_of(suffix, text))
            .sum();
        assert_eq!(kept, latest.carried_bytes);
        assert_eq!(renders.get(), 1);
    }
}
