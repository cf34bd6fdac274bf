// The benchmark page of the script this plugin replaces, as it was used: a page of another origin that plays the stream
// with hls.js, puts `clientId=...` behind every URL, polls /timestamps.json at the root every 500 ms, and looks the file
// it plays up in there by its bare name.
//
//     node web/test/benchmark.mjs URL [seconds]

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { START_DEADLINE_MS, addresses, commandLine, median, report, rounded, withPage, withServer } from './browser.mjs';

const PAGE = '<!doctype html><title>benchmark</title><video id="video" autoplay muted playsinline></video><script src="hls.js"></script>';
const MOST_LATENCY_SECONDS = 6;

const { url, seconds, viewport } = commandLine();
const complaints = [];
const failures = [];
const figures = { player: 'benchmark page' };

try {
  const { playlist } = await addresses(url);
  const script = await readFile(createRequire(import.meta.url).resolve('hls.js/dist/hls.min.js'));
  const files = { '/': ['text/html', PAGE], '/hls.js': ['text/javascript', script] };
  await withServer(files, (server) => withPage({ complaints, viewport }, async (page) => {
    const without = [];
    const refused = [];
    page.on('response', (response) => {
      const asked = new URL(response.url());
      if (asked.origin !== new URL(playlist).origin) return;
      if (!asked.searchParams.has('clientId')) without.push(asked.pathname);
      if (response.status() >= 400) refused.push(`${response.status()} ${asked.pathname}`);
    });
    await page.goto(server);
    await page.evaluate(follow, playlist);
    await page.waitForFunction(() => benchmark.latencies.length > 0, null, { timeout: START_DEADLINE_MS })
      .catch(() => failures.push('no file that was played is in timestamps.json'));
    await new Promise((resolve) => setTimeout(resolve, failures.length ? 0 : seconds * 1000));
    const seen = await page.evaluate(() => benchmark);
    const latencies = seen.latencies.map(({ latency }) => latency);
    Object.assign(figures, { polls: seen.polls, looked: seen.looked, found: latencies.length, latency: rounded(median(latencies)) });
    const must = (isTrue, otherwise) => { if (!isTrue) failures.push(otherwise); };
    must(refused.length === 0, `refused: ${refused.join(', ')}`);
    must(without.length === 0, `asked without clientId: ${without.join(', ')}`);
    must(seen.polls >= seconds, `${seen.polls} polls in ${seconds} s`);
    must(seen.fatal === null, `fatal error: ${seen.fatal}`);
    // The file under way is not complete, and so not in there yet: all but the newest must have been found.
    must(seen.missed.length === 0, `played and not in timestamps.json: ${seen.missed.join(', ')}`);
    must(latencies.every((latency) => latency > 0 && latency < MOST_LATENCY_SECONDS), `latencies: ${latencies.join(' ')}`);
  }));
} catch (error) {
  failures.push(error.message);
}
report({ ...figures, complaints }, failures);

// In the page.
function follow(playlist) {
  const benchmark = window.benchmark = { polls: 0, looked: 0, latencies: [], missed: [], fatal: null };
  const clientId = Math.random().toString(36).slice(2);
  const marked = (address) => `${address}${address.includes('?') ? '&' : '?'}clientId=${clientId}`;
  // The name of the segment on screen, and when it came there, until it is found.
  const waiting = new Map();
  let stamps = {};

  const hls = new Hls({ xhrSetup: (xhr, address) => xhr.open('GET', marked(address), true) });
  hls.on(Hls.Events.ERROR, (_, error) => { if (error.fatal) benchmark.fatal ??= error.details; });
  // So close to the live edge a segment is on screen before it is whole, and its file has no name for players until then.
  let unnamed = [];
  hls.on(Hls.Events.FRAG_CHANGED, (_, { frag }) => unnamed.push({ sn: frag.sn, shown: Date.now() }));
  const findNames = () => {
    const fragments = hls.levels[hls.currentLevel]?.details?.fragments ?? [];
    unnamed = unnamed.filter(({ sn, shown }) => {
      const name = /([A-Za-z_]+\d{5}\.m4s)/.exec(fragments.find((frag) => frag.sn === sn)?.url)?.[1];
      if (!name) return true;
      benchmark.looked += 1;
      waiting.set(name, shown);
      return false;
    });
  };
  hls.loadSource(playlist);
  hls.attachMedia(video);

  setInterval(async () => {
    const answer = await fetch(marked(new URL('/timestamps.json', playlist).href), { cache: 'no-store' });
    ({ segments: stamps } = await answer.json());
    benchmark.polls += 1;
    findNames();
    for (const [name, shown] of waiting) {
      if (stamps[name]) {
        // A segment played by parts comes on screen before it is complete.
        benchmark.latencies.push({ name, latency: Math.abs(shown - stamps[name] / 1e6) / 1000 });
        waiting.delete(name);
      } else if (Date.now() - shown > 5000) {
        benchmark.missed.push(name);
        waiting.delete(name);
      }
    }
  }, 500);
}
