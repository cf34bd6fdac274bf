// Tests of the player page that are many small cases: each gets a page in a fresh profile, and one that fails leaves the
// others alone. What a case is about is said in its own file.

import { START_DEADLINE_MS, addresses, report, withPage } from './browser.mjs';

// Runs `cases`, functions of a page and the player page's address by their names, and reports them under `player`'s name.
export async function tryAll(cases, { player, url, screenshot, viewport }) {
  const failures = [];
  const passed = [];
  try {
    const { page: address } = await addresses(url);
    for (const [name, run] of Object.entries(cases)) {
      try {
        await withPage({ viewport }, async (page) => {
          await run(page, address);
          // A failed case is worth a picture too, but the browser is gone by then: the message tells instead.
          if (screenshot) await page.screenshot({ path: `${screenshot}${name}.png` });
        });
        passed.push(name);
      } catch (error) {
        failures.push(`${name}: ${error.message.split('\n')[0]}`);
      }
    }
  } catch (error) {
    failures.push(error.message);
  }
  report({ player, passed }, failures);
}

// Waits for a state of the page.
export async function until(page, state) {
  try {
    await page.waitForFunction((wanted) => document.body.dataset.state === wanted, state, { timeout: START_DEADLINE_MS });
  } catch {
    const [now, says] = await page.evaluate(() => [document.body.dataset.state, document.getElementById('message').textContent]);
    throw new Error(`not "${state}" after ${START_DEADLINE_MS / 1000} s but "${now}": ${says}`);
  }
}

// Waits until so much more was played.
export async function movesOn(page, seconds = 2) {
  const from = await page.evaluate(() => document.getElementById('video').currentTime);
  const isMoved = ([start, distance]) => document.getElementById('video').currentTime - start >= distance;
  await page.waitForFunction(isMoved, [from, seconds], { timeout: START_DEADLINE_MS });
}
