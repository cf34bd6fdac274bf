// What a viewer may see and do on the player page: the plot, the keys, the buttons, the choice of a picture and of a sound, the
// timestamps; with a keyboard alone, and on a phone. The stream has to have several levels and two sounds, each with a language.
//
//     node web/test/controls.mjs URL [--screenshot PREFIX] [--size WIDTHxHEIGHT]

import { START_DEADLINE_MS, commandLine } from './browser.mjs';
import { movesOn, tryAll, until } from './cases.mjs';

const PHONE = { width: 360, height: 740 };
// WCAG 2.2, 2.5.8.
const LEAST_TARGET_PX = 24;
const LEAST_TEXT_PX = 12;
// What the page counts the bit rate over.
const BITRATE_MS = 10000;

const { url, screenshot, viewport } = commandLine();
const cases = { plotsLatency, marksAStall, obeysKeys, leavesKeysToFields, keepsAHoldBack, showsTheLevelChosen, playsTheSoundChosen, showsTimestamps, isUsableByKeyboardAlone, fitsAPhone };
await tryAll(cases, { player: 'controls of the player page', url, screenshot, viewport });

async function plotsLatency(page, address) {
  const media = [];
  page.on('response', (response) => {
    if (/(part|segment)_\d+\.m4s$/.test(new URL(response.url()).pathname)) media.push({ at: performance.now(), bytes: Number(response.headers()['content-length']) });
  });
  await open(page, address);
  await page.waitForFunction(() => /^Median \d+\.\d\d s, 95 % under \d+\.\d\d s, worst \d+\.\d\d s\.$/.test(document.getElementById('plot-summary').textContent), null, { timeout: START_DEADLINE_MS });
  await movesOn(page, 6);
  const [line, width] = [await painted(page, '--live'), await page.evaluate(() => document.getElementById('plot').width)];
  // Six of three hundred seconds, in a line of two pixels, one of which may be shared with what is behind it.
  if (line < width / 100) throw new Error(`${line} pixels of the line`);
  const shown = Number.parseFloat(await page.textContent('#playing-latency'));
  const { playingLatency } = await stats(page);
  if (!(Math.abs(shown - playingLatency) < 1)) throw new Error(`${shown} s are shown, and it is ${playingLatency} s`);
  const received = Number.parseFloat(await page.textContent('#bitrate'));
  // What came with the first was sent before.
  const [first, ...rest] = media.filter(({ at }) => performance.now() - at < BITRATE_MS);
  const counted = rest.reduce((sum, { bytes }) => sum + bytes, 0) * 8 / 1e3 / (rest.at(-1).at - first.at);
  if (!(received > counted / 2 && received < counted * 2)) throw new Error(`${received} Mbit/s are shown, and ${counted} came`);
}

async function marksAStall(page, address) {
  await open(page, address);
  if (await painted(page, '--warn') > 0) throw new Error('a mark before any stall');
  // The picture stands still: said by the video element, as it would be by one that starves.
  await page.evaluate(() => document.getElementById('video').dispatchEvent(new Event('waiting')));
  await until(page, 'stalled');
  await page.waitForFunction(() => /^1, \d+\.\d s$/.test(document.getElementById('stalls').textContent), null, { timeout: START_DEADLINE_MS });
  await page.evaluate(() => document.getElementById('video').dispatchEvent(new Event('playing')));
  await until(page, 'live');
  if (await painted(page, '--warn') === 0) throw new Error('the stall is not marked');
}

async function obeysKeys(page, address) {
  await open(page, address);
  await page.keyboard.press('p');
  await until(page, 'paused');
  await page.keyboard.press('P');
  await until(page, 'live');
  for (const isMuted of [false, true]) {
    await page.keyboard.press('m');
    await holds(page, (wanted) => document.getElementById('video').muted === wanted, isMuted, `muted is not ${isMuted}`);
  }
  const { targetLatency } = await stats(page);
  await page.keyboard.press('+');
  await targets(page, targetLatency + 0.1);
  // The same key without Shift.
  await page.keyboard.press('=');
  await targets(page, targetLatency + 0.2);
  for (const left of [0.1, 0]) {
    await page.keyboard.press('-');
    await targets(page, targetLatency + left);
  }
  await page.evaluate(() => { document.getElementById('video').currentTime -= 3; });
  await holds(page, () => window.llhls.stats().latency > 2, null, 'not back in time');
  await page.keyboard.press('l');
  await holds(page, () => window.llhls.stats().latency < 2, null, 'the key does not lead back to the live edge');
  await page.keyboard.press('f');
  await holds(page, () => document.fullscreenElement?.id === 'video', null, 'not the full screen');
  await page.keyboard.press('f');
  await holds(page, () => document.fullscreenElement === null, null, 'still the full screen');
}

async function leavesKeysToFields(page, address) {
  await open(page, address);
  await page.focus('#levels');
  await page.keyboard.press('p');
  // A shortcut of the browser's own.
  await page.focus('#live');
  await page.keyboard.press('Control+p');
  await movesOn(page, 1);
  const { state } = await stats(page);
  if (state !== 'live') throw new Error(`the page is ${state}`);
}

async function keepsAHoldBack(page, address) {
  await open(page, address);
  const { targetLatency: advised } = await stats(page);
  for (let nth = 0; nth < 5; nth += 1) await page.click('#further');
  await targets(page, advised + 0.5);
  await page.click('#closer');
  await targets(page, advised + 0.4);
  // It plays there, not only says so.
  await holds(page, (wanted) => Math.abs(window.llhls.stats().latency - wanted) < 0.35, advised + 0.4, 'it plays elsewhere');
  await holds(page, (wanted) => document.getElementById('target').textContent === wanted, `${(advised + 0.4).toFixed(2)} s`, 'another hold-back is shown');
  await page.click('#advised');
  await targets(page, advised);
  await until(page, 'live');
  await movesOn(page);
  for (let nth = 0; nth < 40; nth += 1) await page.click('#closer');
  const { targetLatency: least } = await stats(page);
  if (!(least > 0 && least < advised)) throw new Error(`the least hold-back is ${least} s`);
}

async function showsTheLevelChosen(page, address) {
  await open(page, address);
  const names = await page.$$eval('#levels option', (options) => options.map(({ textContent }) => textContent));
  if (names.length < 3 || names[0] !== 'automatic') throw new Error(`the choice is: ${names}`);
  for (const level of [0, names.length - 2]) {
    const lines = Number.parseInt(names[level + 1], 10);
    await page.selectOption('#levels', String(level));
    await holds(page, (wanted) => document.getElementById('video').videoHeight === wanted, lines, `not ${lines} lines`);
    await holds(page, (wanted) => document.getElementById('picture').textContent.endsWith(` × ${wanted}`), lines, 'another size is shown');
    const shown = `${names.length - 1 - level} of ${names.length - 1}, `;
    await holds(page, (wanted) => document.getElementById('level').textContent.startsWith(wanted), shown, `the level shown is not ${shown}`);
  }
  await page.selectOption('#levels', '-1');
  await holds(page, () => window.llhls.hls.autoLevelEnabled, null, 'it does not choose by itself again');
}

async function playsTheSoundChosen(page, address) {
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await open(page, address);
  const names = await page.$$eval('#sounds option', (options) => options.map(({ textContent }) => textContent));
  if (names.length !== 2 || !/\ben\b/.test(names[0]) || !/\bde\b/.test(names[1])) throw new Error(`the choice is: ${names}`);
  const playlists = await page.evaluate(() => window.llhls.hls.audioTracks.map(({ url }) => new URL(url).pathname));
  for (const sound of [1, 0]) {
    await page.selectOption('#sounds', String(sound));
    await holds(page, (wanted) => window.llhls.hls.audioTrack === wanted, sound, `hls.js does not play sound ${sound}`);
    await holds(page, (wanted) => document.getElementById('sound').textContent === wanted, names[sound], `not ${names[sound]} is shown`);
    // The origin names the playlist live_NAME.m3u8, and its media NAME_part_00001.m4s.
    const [wanted, other] = [playlists[sound], playlists[1 - sound]].map((path) => /live_(\w+)\.m3u8$/.exec(path)[1]);
    const isOf = (name) => (path) => path.endsWith(`/live_${name}.m3u8`) || path.includes(`/${name}_`);
    asked.length = 0;
    await movesOn(page, 3);
    const paths = asked.filter(isOf(wanted));
    if (!paths.some((path) => path.endsWith('.m3u8')) || !paths.some((path) => path.endsWith('.m4s'))) throw new Error(`of ${names[sound]} only ${paths} was asked for`);
    const needless = asked.filter(isOf(other));
    if (needless.length) throw new Error(`${names[1 - sound]} is not wanted, and was asked for: ${needless}`);
  }
}

async function showsTimestamps(page, address) {
  await open(page, address);
  await page.click('#timestamps summary');
  const newest = () => page.$$eval('#stamps tr', (rows) => rows.map((row) => [...row.cells].map(({ textContent }) => textContent)));
  await page.waitForSelector('#stamps tr', { timeout: START_DEADLINE_MS });
  const before = await newest();
  for (const [name, captured, after] of before) {
    const isRow = /part_\d{5}\.m4s$/.test(name) && /^\d\d:\d\d:\d\d\.\d{3}$/.test(captured) && /^\d+ ms$/.test(after);
    if (!isRow) throw new Error(`a row reads ${name}, ${captured}, ${after}`);
  }
  await holds(page, (first) => document.querySelector('#stamps td').textContent !== first, before[0][0], 'no newer part');
}

async function isUsableByKeyboardAlone(page, address) {
  await open(page, address);
  const wanted = new Set(['live', 'closer', 'further', 'advised', 'levels', 'sounds', 'summary']);
  const { targetLatency } = await stats(page);
  for (let nth = 0; nth < 40 && wanted.size; nth += 1) {
    await page.keyboard.press('Tab');
    const [id, isSeen] = await page.evaluate(() => {
      const { id: focused, tagName } = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return [focused || tagName.toLowerCase(), outlineStyle !== 'none' && outlineWidth !== '0px'];
    });
    if (!wanted.delete(id)) continue;
    if (!isSeen) throw new Error(`the focus on ${id} is not to be seen`);
    if (id === 'further') {
      await page.keyboard.press('Enter');
      await targets(page, targetLatency + 0.1);
    }
    if (id === 'summary') {
      await page.keyboard.press('Enter');
      await page.waitForSelector('#stamps tr', { timeout: START_DEADLINE_MS });
    }
  }
  if (wanted.size) throw new Error(`Tab does not lead to ${[...wanted].join(', ')}`);
}

async function fitsAPhone(page, address) {
  await page.setViewportSize(PHONE);
  await open(page, address);
  // The picture is seen without scrolling, and so is how late it is.
  const bottom = await page.evaluate(() => document.getElementById('plot').getBoundingClientRect().bottom);
  if (bottom > PHONE.height) throw new Error(`the plot ends at ${bottom} of ${PHONE.height} pixels`);
  await page.click('#timestamps summary');
  await page.waitForSelector('#stamps tr', { timeout: START_DEADLINE_MS });
  const [width, small, narrow] = await page.evaluate(([text, target]) => {
    const shown = [...document.querySelectorAll('body *')].filter((element) => element.offsetParent !== null);
    const describe = ({ tagName, id, className }) => `${tagName.toLowerCase()}#${id}.${className}`;
    const says = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    return [
      document.scrollingElement.scrollWidth,
      shown.filter((element) => says(element) && Number.parseFloat(getComputedStyle(element).fontSize) < text).map(describe),
      shown.filter((element) => element.matches('button, select, summary') && element.getBoundingClientRect().height < target).map(describe),
    ];
  }, [LEAST_TEXT_PX, LEAST_TARGET_PX]);
  if (width > PHONE.width) throw new Error(`the page is ${width} pixels wide`);
  if (small.length) throw new Error(`too small to read: ${small.join(', ')}`);
  if (narrow.length) throw new Error(`too small for a finger: ${narrow.join(', ')}`);
}

async function open(page, address) {
  await page.goto(address);
  await until(page, 'live');
  await page.waitForFunction(() => window.llhls.stats().targetLatency !== null, null, { timeout: START_DEADLINE_MS });
}

function stats(page) {
  return page.evaluate(() => window.llhls.stats());
}

async function holds(page, condition, argument, otherwise) {
  try {
    await page.waitForFunction(condition, argument, { timeout: START_DEADLINE_MS });
  } catch {
    throw new Error(otherwise);
  }
}

function targets(page, seconds) {
  return holds(page, (wanted) => Math.abs(window.llhls.stats().targetLatency - wanted) < 0.02, seconds, `the hold-back is not ${seconds.toFixed(2)} s`);
}

// How many pixels of the plot have a colour of the style sheet.
function painted(page, name) {
  return page.evaluate((variable) => {
    const canvas = document.getElementById('plot');
    const hex = getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
    const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] === red && data[at + 1] === green && data[at + 2] === blue && data[at + 3] === 255) count += 1;
    }
    return count;
  }, name);
}
