// Chromium's own HLS player: a <video> with the playlist as its source, on a page of another origin.
//
//     node web/test/native.mjs URL [seconds]
//
// A browser without one (older Chromium, Firefox) is reported as unsupported, with exit code 3: nobody's fault.

import { START_DEADLINE_MS, addresses, commandLine, countMedia, median, report, rounded, watch, withPage, withServer } from './browser.mjs';

const UNSUPPORTED = 3;
const PAGE = '<!doctype html><title>native HLS</title><video id="video" autoplay muted playsinline controls></video>';

const { url, seconds, screenshot, viewport } = commandLine();
const complaints = [];
const failures = [];
const figures = { player: 'Chromium native HLS' };
let isUnsupported = false;

try {
  const { playlist } = await addresses(url);
  await withServer({ '/': ['text/html', PAGE] }, (server) => withPage({ complaints, viewport }, async (page, chromium) => {
    figures.chromium = chromium;
    const media = countMedia(page);
    await page.goto(server);
    figures.canPlayType = await page.evaluate(() => video.canPlayType('application/vnd.apple.mpegurl'));
    isUnsupported = figures.canPlayType === '';
    if (isUnsupported) return;
    await page.evaluate((source) => {
      window.watched = { stalls: 0, began: performance.now(), startup: null };
      video.addEventListener('playing', () => { watched.startup ??= (performance.now() - watched.began) / 1000; });
      video.addEventListener('waiting', () => { if (watched.startup !== null && !video.seeking) watched.stalls += 1; });
      video.src = source;
    }, playlist);
    const isDecided = () => watched.startup !== null || video.error;
    await page.waitForFunction(isDecided, null, { timeout: START_DEADLINE_MS })
      .catch(() => failures.push(`no picture after ${START_DEADLINE_MS / 1000} s`));
    const samples = await watch(() => page.evaluate(read), failures.length ? 0 : seconds);
    if (screenshot) await page.screenshot({ path: screenshot });
    judge(samples, media);
  }));
} catch (error) {
  failures.push(error.message);
}
report({ ...figures, isUnsupported, complaints }, failures);
if (isUnsupported) process.exitCode = UNSUPPORTED;

function read() {
  const startDate = video.getStartDate?.().getTime();
  return {
    ...watched,
    currentTime: video.currentTime,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    droppedFrames: video.getVideoPlaybackQuality().droppedVideoFrames,
    latency: Number.isFinite(startDate) ? (Date.now() - startDate) / 1000 - video.currentTime : null,
    error: video.error && `${video.error.code} ${video.error.message}`,
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
  if (last.error) failures.push(`media error ${last.error}`);
  else if (figures.played < seconds - 1) failures.push(`only ${figures.played} s played in ${seconds} s, ${last.stalls} stalls`);
}
