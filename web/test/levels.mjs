// A ladder in hls.js: switched down and up on purpose, it must play on without a fatal error or a stall.
//
//     node web/test/levels.mjs URL

import { START_DEADLINE_MS, addresses, commandLine, median, report, rounded, watch, withPage } from './browser.mjs';

const SECONDS_ON_A_LEVEL = 3;
const SWITCH_DEADLINE_MS = 10000;

const { url, screenshot, viewport } = commandLine();
const complaints = [];
const failures = [];
const figures = { player: 'hls.js on a ladder', visited: [] };

try {
  const { page: address } = await addresses(url);
  await withPage({ complaints, viewport }, async (page) => {
    await page.goto(address);
    await page.waitForFunction(() => window.llhls?.stats().startup != null, null, { timeout: START_DEADLINE_MS });
    const count = await page.evaluate(() => window.llhls.hls.levels.length);
    if (count < 2) throw new Error(`${count} levels are no ladder`);
    // Down to the last step one by one, up in one go, and down in one go.
    const way = [...Array(count).keys()].reverse().concat(count - 1, 0);
    const samples = [];
    for (const level of way) samples.push(...await visit(page, level));
    if (screenshot) await page.screenshot({ path: screenshot });
    judge(samples);
  });
} catch (error) {
  failures.push(error.message.split('\n')[0]);
}
report({ ...figures, complaints }, failures);

async function visit(page, level) {
  const height = await page.evaluate((wanted) => {
    window.llhls.hls.nextLevel = wanted;
    return window.llhls.hls.levels[wanted].height;
  }, level);
  const began = performance.now();
  // The picture itself tells, not what the player believes.
  const isShown = (wanted) => document.getElementById('video').videoHeight === wanted;
  try {
    await page.waitForFunction(isShown, height, { timeout: SWITCH_DEADLINE_MS });
  } catch {
    failures.push(`level ${level} (${height} lines) is not shown after ${SWITCH_DEADLINE_MS / 1000} s`);
  }
  figures.visited.push({ height, after: rounded((performance.now() - began) / 1000, 1) });
  return watch(() => page.evaluate(() => window.llhls.stats()), SECONDS_ON_A_LEVEL);
}

function judge(samples) {
  const first = samples[0];
  const last = samples.at(-1);
  Object.assign(figures, {
    stalls: last.stalls,
    stalledSeconds: rounded(last.stalledSeconds),
    latency: rounded(median(samples.map((sample) => sample.playingLatency))),
    played: rounded(last.currentTime - first.currentTime),
    buffers: last.buffers,
    restarts: last.restarts,
  });
  if (last.fatal !== null) failures.push(`fatal error: ${last.fatal}`);
  if (last.restarts > 0) failures.push(`the page started over ${last.restarts} times`);
  if (last.stalledSeconds > 1) failures.push(`${last.stalls} stalls, ${last.stalledSeconds.toFixed(1)} s together`);
  if (last.state !== 'live') failures.push(`the page ends up ${last.state}`);
}
