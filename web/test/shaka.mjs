// Shaka Player in low latency mode, on a page of another origin than the stream.
//
//     node web/test/shaka.mjs URL [seconds] [--screenshot FILE]

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { START_DEADLINE_MS, addresses, commandLine, countMedia, median, report, rounded, watch, withPage, withServer } from './browser.mjs';

const PAGE = '<!doctype html><title>Shaka</title><video id="video" autoplay muted playsinline controls></video><script src="shaka.js"></script>';

const { url, seconds, screenshot, viewport } = commandLine();
const complaints = [];
const failures = [];
const figures = { player: 'Shaka Player' };

try {
  const { playlist } = await addresses(url);
  const script = await readFile(createRequire(import.meta.url).resolve('shaka-player/dist/shaka-player.compiled.js'));
  const files = { '/': ['text/html', PAGE], '/shaka.js': ['text/javascript', script] };
  await withServer(files, (server) => withPage({ complaints, viewport }, async (page, chromium) => {
    figures.chromium = chromium;
    const media = countMedia(page);
    await page.goto(server);
    figures.shaka = await page.evaluate(() => shaka.Player.version);
    await page.evaluate(load, playlist);
    await page.waitForFunction(() => watched.startup !== null || watched.error, null, { timeout: START_DEADLINE_MS })
      .catch(() => failures.push(`no picture after ${START_DEADLINE_MS / 1000} s`));
    const samples = await watch(() => page.evaluate(read), failures.length ? 0 : seconds);
    if (screenshot) await page.screenshot({ path: screenshot });
    judge(samples, media);
  }));
} catch (error) {
  failures.push(error.message);
}
report({ ...figures, complaints }, failures);

// In the page.
async function load(playlist) {
  window.watched = { began: performance.now(), startup: null, stalls: 0, error: null };
  shaka.polyfill.installAll();
  const player = window.player = new shaka.Player();
  const describe = (error) => `${error.severity === 2 ? 'critical ' : ''}code ${error.code} ${JSON.stringify(error.data ?? error.message)}`;
  player.addEventListener('error', ({ detail }) => { watched.error ??= describe(detail); });
  video.addEventListener('playing', () => { watched.startup ??= (performance.now() - watched.began) / 1000; });
  video.addEventListener('waiting', () => { if (watched.startup !== null && !video.seeking) watched.stalls += 1; });
  player.configure({ streaming: { lowLatencyMode: true } });
  try {
    await player.attach(video);
    await player.load(playlist);
  } catch (error) {
    watched.error ??= describe(error);
  }
}

// In the page.
function read() {
  const date = player.getPlayheadTimeAsDate()?.getTime();
  return {
    ...watched,
    currentTime: video.currentTime,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    droppedFrames: video.getVideoPlaybackQuality().droppedVideoFrames,
    latency: Number.isFinite(date) ? (Date.now() - date) / 1000 : null,
  };
}

function judge(samples, media) {
  const first = samples[0];
  const last = samples.at(-1);
  Object.assign(figures, {
    startup: rounded(last.startup),
    latency: rounded(median(samples.map((sample) => sample.latency))),
    stalls: last.stalls,
    played: rounded(last.currentTime - first.currentTime),
    frames: last.frames,
    droppedFrames: last.droppedFrames,
    ...media,
  });
  if (last.error) failures.push(last.error);
  if (figures.played < seconds - 1) failures.push(`only ${figures.played} s played in ${seconds} s, ${last.stalls} stalls`);
}
