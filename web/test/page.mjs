// The player page when things go wrong: no hls.js in the build, the server away, a part lost. The origin stays as it is,
// the browser's requests are kept from it.
//
//     node web/test/page.mjs URL [--screenshot PREFIX] [--size WIDTHxHEIGHT]

import { START_DEADLINE_MS, commandLine } from './browser.mjs';
import { movesOn, tryAll, until } from './cases.mjs';

const MISSING = 'Built without hls.js: run `make`, then restart.';

const { url, screenshot, viewport } = commandLine();
const cases = { saysWhatIsMissing, playsNativelyWithoutHlsJs, comesBackWhenTheServerDoes, startsWhenTheServerCameLate, skipsALostPart, catchesUpWhenShownAgain };
await tryAll(cases, { player: 'player page', url, screenshot, viewport });

async function saysWhatIsMissing(page, address) {
  await page.addInitScript(() => { HTMLMediaElement.prototype.canPlayType = () => ''; });
  await withoutHlsJs(page);
  await page.goto(address);
  await until(page, 'missing');
  const says = await page.textContent('#message');
  if (!says.includes(MISSING)) throw new Error(`the page says: ${says}`);
}

async function playsNativelyWithoutHlsJs(page, address) {
  await withoutHlsJs(page);
  await page.goto(address);
  const isAble = await page.evaluate(() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== '');
  await until(page, isAble ? 'live' : 'missing');
  if (isAble) await movesOn(page, 4);
}

async function comesBackWhenTheServerDoes(page, address) {
  await page.goto(address);
  await until(page, 'live');
  const isThere = await takeServerAway(page);
  await until(page, 'away');
  if (screenshot) await page.screenshot({ path: `${screenshot}serverAway.png` });
  isThere.value = true;
  await until(page, 'live');
  await movesOn(page);
  await isAtTheEdge(page);
}

async function startsWhenTheServerCameLate(page, address) {
  // The page itself arrived; nothing after it does, hls.js included.
  const isThere = await takeServerAway(page, (requested) => requested !== address && !/(player|plot)\.(js|css)$/.test(requested));
  await page.goto(address);
  await until(page, 'away');
  isThere.value = true;
  await until(page, 'live');
  await movesOn(page);
}

async function skipsALostPart(page, address) {
  let lost = 0;
  await page.route(/\/part_\d+\.m4s$/, (route) => {
    lost += 1;
    return lost === 10 ? route.fulfill({ status: 404, body: 'gone' }) : route.continue();
  });
  await page.goto(address);
  await until(page, 'live');
  await page.waitForFunction(() => window.llhls.stats().parts > 30, null, { timeout: START_DEADLINE_MS });
  await until(page, 'live');
  await movesOn(page);
}

async function catchesUpWhenShownAgain(page, address) {
  await page.goto(address);
  await until(page, 'live');
  await movesOn(page, 4);
  // A hidden tab: browsers say so and, in time, stop the picture. Here only the latter is ours to do.
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
    document.getElementById('video').pause();
  });
  await new Promise((resolve) => setTimeout(resolve, 4000));
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { value: false, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await until(page, 'live');
  await movesOn(page);
  await isAtTheEdge(page);
}

async function withoutHlsJs(page) {
  await page.route('**/hls.min.js', (route) => route.fulfill({ status: 404, contentType: 'text/plain', body: 'built without hls.js\n' }));
}

async function takeServerAway(page, isTaken = () => true) {
  const isThere = { value: false };
  await page.route('**/*', (route) => {
    const isLost = !isThere.value && isTaken(route.request().url());
    return isLost ? route.abort('connectionrefused') : route.continue();
  });
  return isThere;
}

async function isAtTheEdge(page) {
  const { latency } = await page.evaluate(() => window.llhls.stats());
  if (!(latency < 3)) throw new Error(`${latency} s behind the live edge`);
}
