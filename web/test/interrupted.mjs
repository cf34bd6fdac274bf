// The player page when the source itself misbehaves: nothing comes for three seconds, no picture beside the sound for
// longer than that is waited for, the picture changes its size, and the pipeline is stopped and started again, once so
// that only the picture's playlist has an end. It must play on by itself, without a reload; and without starting over,
// unless another presentation began, which it does without `--on-restart continue`.
//
//     node web/test/interrupted.mjs PROGRAM [ARGUMENT...]
//
// PROGRAM is the example `rehearsal`: it prints the address of its page and obeys words on its standard input.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { START_DEADLINE_MS, addresses, report, rounded, withPage } from './browser.mjs';

const goesOn = process.argv.includes('continue');
const PAUSE_MS = 3000;
const LEAST_STALL_SECONDS = 0.5;
// From the moment the source is back to a moving picture at the live edge.
const RECOVERY_DEADLINE_MS = 15000;
const MOST_LATENCY_SECONDS = 5;

const complaints = [];
const failures = [];
const figures = { player: 'player page, source interrupted' };

const source = spawn(process.argv[2], process.argv.slice(3), { stdio: ['pipe', 'pipe', 'inherit'] });
source.on('error', (error) => failures.push(error.message));
try {
  const { page: address } = await addresses(await printedAddress());
  await withPage({ complaints }, async (page) => {
    await page.goto(address);
    await page.waitForFunction(() => window.llhls?.stats().startup != null, null, { timeout: START_DEADLINE_MS });
    await movesOn(page, 'before anything happens');

    const beforePause = await stats(page);
    tell('pause');
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    tell('resume');
    figures.afterPause = await movesOn(page, 'after the pause');
    const after = await stats(page);
    const stood = after.stalledSeconds - beforePause.stalledSeconds;
    // Less than the pause: what was in the buffer was played.
    if (!(after.stalls > beforePause.stalls && stood > LEAST_STALL_SECONDS)) {
      failures.push(`in a pause of ${PAUSE_MS / 1000} s ${after.stalls - beforePause.stalls} stalls of ${rounded(stood, 1)} s were counted`);
    }

    tell('blind');
    await page.waitForFunction(listsGap, null, { timeout: RECOVERY_DEADLINE_MS, polling: 200 })
      .catch(() => failures.push('the playlist of the picture has no gap'));
    tell('resume');
    figures.afterGap = await movesOn(page, 'after the gap in the picture');

    const height = await page.evaluate(() => document.getElementById('video').videoHeight);
    if (height > 0) {
      tell('resize');
      const isResized = (before) => document.getElementById('video').videoHeight !== before;
      await page.waitForFunction(isResized, height, { timeout: RECOVERY_DEADLINE_MS })
        .catch(() => failures.push('the new picture size is not shown'));
      figures.afterResize = await movesOn(page, 'after the picture changed its size');
    }
    const { restarts } = await stats(page);
    if (restarts > 0) failures.push(`the page started over ${restarts} times before there was another run`);
    tell('restart');
    if (!goesOn) await noticesNewRun(page, restarts);
    figures.afterRestart = await movesOn(page, 'after the restart');
    if (!goesOn) {
      const before = (await stats(page)).restarts;
      await restartBehindTheSound(page);
      await noticesNewRun(page, before);
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      figures.afterHalfAnEnd = await movesOn(page, 'after a restart that ended only the picture');
    }
    const last = await stats(page);
    Object.assign(figures, { stalls: last.stalls, stalledSeconds: rounded(last.stalledSeconds), restarts: last.restarts, fatal: last.fatal });
    if (goesOn && last.restarts > 0) failures.push(`the page started over ${last.restarts} times`);
  });
} catch (error) {
  failures.push(error.message.split('\n')[0]);
} finally {
  source.stdin.end();
  const timer = setTimeout(() => source.kill('SIGKILL'), 5000);
  if (source.exitCode === null) await new Promise((resolve) => { source.on('close', resolve); source.on('error', resolve); });
  clearTimeout(timer);
}
report({ ...figures, complaints }, failures);

function stats(page) {
  return page.evaluate(() => window.llhls.stats());
}

function noticesNewRun(page, restarts) {
  const isStartedOver = (before) => window.llhls.stats().restarts > before;
  return page.waitForFunction(isStartedOver, restarts, { timeout: RECOVERY_DEADLINE_MS })
    .catch(() => failures.push('the page did not notice the new presentation'));
}

// The sound's playlist is asked for again only when the server shows the new run, which knows nothing of such a part.
async function restartBehindTheSound(page) {
  const entry = () => page.evaluate(async () => (await fetch('live.m3u8', { cache: 'no-store' })).text());
  const before = await entry();
  let isRestarted;
  await page.route(/live_audio\.m3u8\?.*_HLS_msn=/, async (route) => {
    isRestarted ??= (async () => {
      tell('restart');
      while (await entry() === before);
    })();
    await isRestarted;
    await route.fulfill({ status: 400, body: 'no such part' });
  });
}

// In the page.
async function listsGap() {
  const answer = await fetch('live_video.m3u8');
  return (await answer.text()).includes('#EXT-X-GAP');
}

function tell(word) {
  source.stdin.write(`${word}\n`);
}

async function printedAddress() {
  const timer = setTimeout(() => source.kill('SIGKILL'), START_DEADLINE_MS);
  for await (const line of createInterface({ input: source.stdout })) {
    const found = /player\s+(http:\S+)/.exec(line);
    if (!found) continue;
    clearTimeout(timer);
    return found[1];
  }
  throw new Error('the source printed no address');
}

// Two seconds of picture, and close to the live edge; answers how long that took and how far behind it is.
async function movesOn(page, when) {
  const began = performance.now();
  const from = await page.evaluate(() => document.getElementById('video').currentTime);
  const isMoved = ([start, most]) => {
    const { currentTime, state, playingLatency } = window.llhls.stats();
    return state === 'live' && currentTime - start >= 2 && playingLatency !== null && playingLatency < most;
  };
  try {
    await page.waitForFunction(isMoved, [from, MOST_LATENCY_SECONDS], { timeout: RECOVERY_DEADLINE_MS });
  } catch {
    const says = await page.evaluate(() => JSON.stringify(window.llhls.stats()));
    failures.push(`${when} it does not play on: ${says}`);
  }
  const { playingLatency } = await stats(page);
  return { seconds: rounded((performance.now() - began) / 1000, 1), latency: rounded(playingLatency, 2) };
}
