// The player page in Chromium: hls.js must play with low latency, without a stall, and the page must read its latency.
//
//     node web/test/hlsjs.mjs URL [seconds] [--screenshot FILE] [--size WIDTHxHEIGHT] [--tracks audio,video] [--deltas] [--protocol h2]

import { START_DEADLINE_MS, addresses, commandLine, countMedia, median, report, rounded, watch, withPage } from './browser.mjs';

const MOST_LATENCY_SECONDS = 6;

const { url, seconds, tracks, deltas, protocol, screenshot, viewport } = commandLine();
const complaints = [];
const failures = [];
const figures = { player: 'hls.js' };

try {
  const { page: address } = await addresses(url);
  await withPage({ complaints, viewport }, async (page, chromium) => {
    figures.chromium = chromium;
    const media = countMedia(page);
    await page.goto(address);
    try {
      await page.waitForFunction(() => window.llhls?.stats().startup != null, null, { timeout: START_DEADLINE_MS });
    } catch {
      const says = await page.textContent('#message').catch(() => null);
      failures.push(`no picture after ${START_DEADLINE_MS / 1000} s; the page says: ${says}`);
    }
    const samples = failures.length ? [] : await watch(() => page.evaluate(read), seconds);
    if (screenshot) await page.screenshot({ path: screenshot });
    figures.hlsjs = await page.evaluate(() => window.Hls?.version ?? null);
    if (samples.length) judge(samples, media);
    // From the page, which reaches it wherever the token is.
    figures.answers = await page.evaluate(async () => (await (await fetch(`stats.json${location.search}`)).json()).answers);
    figures.protocols = await page.evaluate(protocols);
    if (protocol && figures.protocols.join() !== protocol) failures.push(`not everything came over ${protocol}`);
    if (deltas && !(figures.answers.deltas > 0)) failures.push('no playlist came as a delta update');
    if (deltas && !(figures.answers.gzipped > 0)) failures.push('no playlist came in gzip');
  });
} catch (error) {
  failures.push(error.message);
}
report({ ...figures, complaints }, failures);

// In the page: how what it fetched came.
function protocols() {
  return [...new Set(performance.getEntriesByType('resource').map((entry) => entry.nextHopProtocol).filter(Boolean))];
}

// In the page.
function read() {
  const { totalVideoFrames, droppedVideoFrames } = document.getElementById('video').getVideoPlaybackQuality();
  return { ...window.llhls.stats(), frames: totalVideoFrames, droppedFrames: droppedVideoFrames };
}

function judge(samples, media) {
  const first = samples[0];
  const last = samples.at(-1);
  const latencies = samples.map((sample) => sample.playingLatency);
  Object.assign(figures, {
    startup: rounded(first.startup),
    latency: rounded(median(latencies)),
    lastLatency: rounded(last.playingLatency),
    hlsjsLatency: rounded(median(samples.map((sample) => sample.latency))),
    stalls: last.stalls,
    stalledSeconds: rounded(last.stalledSeconds),
    played: rounded(last.currentTime - first.currentTime),
    frames: last.frames,
    droppedFrames: last.droppedFrames,
    edge: last.edge,
    buffers: last.buffers,
    levels: last.levels,
    parts: media.parts,
    segments: media.segments,
    playlists: media.playlists,
    refused: media.refused,
  });
  const must = (isTrue, otherwise) => { if (!isTrue) failures.push(otherwise); };
  must(last.lowLatency, 'low latency is not active: off in hls.js, or the playlist lists no parts');
  // Two a second is what the longest usual parts (0.5 s) come to.
  must(media.parts >= seconds * 2 - 2, `only ${media.parts} parts were fetched in ${seconds} s`);
  must(last.fatal === null, `fatal error: ${last.fatal}`);
  must(last.stalls === 0, `${last.stalls} stalls, ${last.stalledSeconds.toFixed(1)} s together`);
  must(figures.played >= seconds - 1, `only ${figures.played} s played in ${seconds} s`);
  for (const kind of tracks) {
    // A sample may catch a buffer just before the next part is in it.
    const filled = samples.filter(({ buffers }) => buffers[kind] > 0).length;
    must(filled >= samples.length * 0.9, `${kind} was in its buffer in ${filled} of ${samples.length} looks`);
  }
  const isRead = latencies.every((latency) => latency > 0 && latency < MOST_LATENCY_SECONDS);
  must(isRead, `latency by PROGRAM-DATE-TIME not between 0 and ${MOST_LATENCY_SECONDS} s: ${latencies.map((l) => l?.toFixed(2)).join(' ')}`);
}
