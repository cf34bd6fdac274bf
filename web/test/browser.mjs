// Starting Debian's Chromium for the player tests, and the small things they share.
// What a player must do is said in the test of that player, not here.

import { createServer } from 'node:http';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
];
export const START_DEADLINE_MS = 30000;

// Runs `test(page)` in a fresh profile, which is gone afterwards whatever happens. What the page complains about goes to `complaints`.
export async function withPage({ complaints = [], viewport = { width: 1280, height: 800 } }, test) {
  // Loaded when it is needed: the table's other players need no npm package.
  const { chromium } = await import('playwright-core');
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS });
  try {
    // Over HTTPS the streams of tests have certificates of their own making.
    const context = await browser.newContext({ viewport, ignoreHTTPSErrors: true });
    const page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    return await test(page, browser.version());
  } finally {
    await browser.close();
  }
}

// The player page and the playlist of an origin, from either address.
export async function addresses(given) {
  if (!given) throw new Error('no URL given: the address of the player page or of the playlist');
  const url = new URL(given);
  if (url.pathname.endsWith('.m3u8')) return { page: new URL('.', url).href, playlist: url.href };
  const html = await (await fetch(url)).text();
  const name = /data-playlist="([^"]+)"/.exec(html)?.[1];
  if (!name) throw new Error(`${url} is not a player page: it names no playlist`);
  return { page: url.href, playlist: new URL(name, url).href };
}

// Serves a test's own page and scripts from another origin than the stream's, so that its CORS answers are tried as well.
// `files` maps a path to [type, content].
export async function withServer(files, test) {
  const server = createServer((request, response) => {
    const file = files[new URL(request.url, 'http://localhost').pathname];
    // No content rather than not found: the browser asks for a favicon, and would complain.
    response.writeHead(file ? 200 : 204, { 'Content-Type': file?.[0] ?? 'text/plain' });
    response.end(file?.[1]);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await test(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

// Counts what really went over the network, whatever the player believes.
export function countMedia(page) {
  const media = { parts: 0, segments: 0, playlists: 0, refused: [] };
  page.on('response', (response) => {
    const name = new URL(response.url()).pathname;
    if (response.status() >= 400) media.refused.push(`${response.status()} ${name}`);
    else if (/part_\d+\.m4s$/.test(name)) media.parts += 1;
    else if (/segment_\d+\.m4s$/.test(name)) media.segments += 1;
    else if (name.endsWith('.m3u8')) media.playlists += 1;
  });
  return media;
}

// Asks `read` twice a second for `seconds` seconds and returns all answers.
export async function watch(read, seconds) {
  const samples = [];
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    samples.push(await read());
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  samples.push(await read());
  return samples;
}

export function median(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : null;
}

export function rounded(value, digits = 3) {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : null;
}

// One line of JSON for programs on stdout, the reasons for people on stderr; the exit code says which it was.
export function report(figures, failures) {
  console.log(JSON.stringify({ ok: failures.length === 0, ...figures, failures }));
  for (const failure of failures) console.error(`${figures.player}: ${failure}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

// The command line of a player test: URL [seconds] [--screenshot FILE] [--size WIDTHxHEIGHT] [--tracks KIND,KIND...] [--deltas].
export function commandLine() {
  const words = process.argv.slice(2);
  const option = (name) => {
    const at = words.indexOf(name);
    return at === -1 ? null : words.splice(at, 2)[1];
  };
  const screenshot = option('--screenshot');
  const [width, height] = (option('--size') ?? '1280x800').split('x').map(Number);
  // What the stream has, where a test is to see that all of it arrives: audio, video.
  const tracks = option('--tracks')?.split(',') ?? [];
  // Whether playlists have to come as delta updates, and in gzip, once the stream is old enough.
  const deltas = words.includes('--deltas');
  if (deltas) words.splice(words.indexOf('--deltas'), 1);
  // How everything has to have come, as Resource Timing calls it: http/1.1, h2.
  const protocol = option('--protocol');
  return { tracks, deltas, protocol, url: words[0], seconds: Number(words[1] ?? 15), screenshot, viewport: { width, height } };
}
