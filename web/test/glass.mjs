// Glass to glass: reads a time code out of the picture a player shows, and says how old it is.
//
//     node web/test/glass.mjs PLAYLIST --player hlsjs|hlsjs-catch-up|shaka [--seconds 60] [--starts 5]
//
// The stream's picture carries the time of its capture as black and white fields along its upper edge, drawn by
// `benches/road/glass.rs`, whose constants these are. Both must run on one machine: its clock is the only one.
// Prints a line of JSON per start.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { START_DEADLINE_MS, rounded, withPage, withServer } from './browser.mjs';

const FIELD = 40;
// White, black, 24 bits of Unix milliseconds, a bit of parity.
const BITS = 24;
const FIELDS = BITS + 3;

const PLAYERS = {
  hlsjs: { script: 'hls.js/dist/hls.min.js', start: startHlsJs, options: {} },
  // As the player page has it.
  'hlsjs-catch-up': { script: 'hls.js/dist/hls.min.js', start: startHlsJs, options: { maxLiveSyncPlaybackRate: 1.1 } },
  shaka: { script: 'shaka-player/dist/shaka-player.compiled.js', start: startShaka, options: {} },
};

const PAGE = '<!doctype html><title>glass</title><style>video{width:960px}</style>'
  + '<video id="video" autoplay muted playsinline></video><script src="player.js"></script>';

const words = process.argv.slice(2);
const option = (name, otherwise) => {
  const at = words.indexOf(name);
  return at === -1 ? otherwise : words.splice(at, 2)[1];
};
const player = option('--player', 'hlsjs');
const seconds = Number(option('--seconds', '60'));
const starts = Number(option('--starts', '5'));
const [playlist] = words;
if (!playlist || !PLAYERS[player]) throw new Error(`a playlist and a player are needed: ${Object.keys(PLAYERS).join(', ')}`);

const { script, start, options } = PLAYERS[player];
const content = await readFile(createRequire(import.meta.url).resolve(script));
for (let round = 0; round < starts; round += 1) {
  const files = { '/': ['text/html', PAGE], '/player.js': ['text/javascript', content] };
  await withServer(files, (server) => withPage({}, async (page) => {
    await page.goto(server);
    await page.evaluate(watchPicture, { FIELD, FIELDS, BITS });
    await page.evaluate(start, { playlist, options });
    // A player that breaks off is not watched any further: what it is said to have done is then of a shorter time.
    try {
      await page.waitForFunction(() => glass.firstFrame !== null || glass.error, null, { timeout: START_DEADLINE_MS });
      await page.waitForFunction((end) => glass.error || performance.now() > end,
        await page.evaluate((span) => glass.firstFrame + span * 1000, seconds), { timeout: (seconds + 30) * 1000 });
    } catch (error) {
      const [reason] = error.message.split('\n');
      await page.evaluate((text) => { glass.error ??= text; }, reason);
    }
    console.log(JSON.stringify(judge(await page.evaluate(read))));
  }));
}

// In the page: how old each picture is when it comes on screen.
function watchPicture({ FIELD, FIELDS, BITS }) {
  window.glass = { began: performance.now(), firstFrame: null, lastFrame: null, ages: [], unread: 0, stalls: 0, stalledMs: 0, frozenMs: 0, error: null };
  const canvas = Object.assign(document.createElement('canvas'), { width: FIELDS * 4, height: 4 });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  let stalledSince = null;
  const look = (now, { expectedDisplayTime }) => {
    glass.firstFrame ??= now;
    // Three frames: what a viewer sees as a picture that stands still, whatever the player says of it.
    if (glass.lastFrame !== null) glass.frozenMs += Math.max(0, now - glass.lastFrame - 100);
    glass.lastFrame = now;
    const scale = video.videoWidth / 1280;
    context.drawImage(video, 0, 0, FIELDS * FIELD * scale, FIELD * scale, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    // The middle of each field: its edges are where the encoder saves.
    const light = (field) => data[(canvas.width * 2 + field * 4 + 2) * 4 + 1];
    const threshold = (light(0) + light(1)) / 2;
    let code = 0;
    let ones = 0;
    for (let bit = 0; bit < BITS; bit += 1) {
      const is = light(2 + bit) > threshold;
      code = code * 2 + is;
      ones += is;
    }
    const isWhole = light(0) - light(1) > 100 && (light(2 + BITS) > threshold) === (ones % 2 === 1);
    if (isWhole) {
      const shown = Date.now() + Math.max(0, expectedDisplayTime - performance.now());
      const wrap = 2 ** BITS;
      glass.ages.push((((shown - code) % wrap) + wrap) % wrap);
    } else {
      glass.unread += 1;
    }
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  video.addEventListener('waiting', () => {
    if (glass.firstFrame === null || video.seeking) return;
    glass.stalls += 1;
    stalledSince ??= performance.now();
  });
  video.addEventListener('playing', () => {
    if (stalledSince !== null) glass.stalledMs += performance.now() - stalledSince;
    stalledSince = null;
  });
}

// In the page.
function startHlsJs({ playlist, options }) {
  const hls = window.hls = new Hls(options);
  hls.on(Hls.Events.ERROR, (_, error) => { if (error.fatal) glass.error ??= error.details; });
  hls.loadSource(playlist);
  hls.attachMedia(video);
}

// In the page.
async function startShaka({ playlist }) {
  shaka.polyfill.installAll();
  const player = window.player = new shaka.Player();
  const fail = (error) => { glass.error ??= `code ${error.code}`; };
  player.addEventListener('error', ({ detail }) => fail(detail));
  player.configure({ streaming: { lowLatencyMode: true } });
  try {
    await player.attach(video);
    await player.load(playlist);
  } catch (error) {
    fail(error);
  }
}

// In the page.
function read() {
  // A picture that stood still to the end counts as well.
  const still = glass.lastFrame === null ? 0 : Math.max(0, performance.now() - glass.lastFrame - 100);
  return {
    ...glass,
    frozenMs: glass.frozenMs + still,
    dropped: video.getVideoPlaybackQuality().droppedVideoFrames,
    target: window.hls?.targetLatency ?? null,
  };
}

function judge({ began, firstFrame, ages, unread, stalls, stalledMs, frozenMs, error, dropped, target }) {
  const sorted = ages.toSorted((a, b) => a - b);
  const percentile = (percent) => sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? null;
  return {
    player,
    error,
    p50: percentile(50),
    p95: percentile(95),
    frames: ages.length,
    unread,
    dropped,
    stalls,
    stalledMs: Math.round(stalledMs),
    frozenMs: Math.round(frozenMs),
    startMs: firstFrame === null ? null : rounded(firstFrame - began, 0),
    targetMs: target === null ? null : Math.round(target * 1000),
  };
}
