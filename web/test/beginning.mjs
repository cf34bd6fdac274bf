// The player page is opened the moment the stream begins, while there is one segment at most: each part must be loaded once, and
// nothing may stall.
//
//     node web/test/beginning.mjs PROGRAM [ARGUMENT...]
//
// PROGRAM is the example `rehearsal`: it prints the address of its page and ends with its standard input.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { START_DEADLINE_MS, report, rounded, withPage } from './browser.mjs';

const SECONDS = 5;

const complaints = [];
const failures = [];
const figures = { player: 'hls.js, from the first segment' };

try {
  // The browser first: it takes longer to start than a segment lasts.
  await withPage({ complaints }, async (page) => {
    const source = spawn(process.argv[2], process.argv.slice(3), { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await play(page, await printedAddress(source));
    } finally {
      source.stdin.end();
      const timer = setTimeout(() => source.kill('SIGKILL'), 5000);
      if (source.exitCode === null) await new Promise((resolve) => source.on('close', resolve));
      clearTimeout(timer);
    }
  });
} catch (error) {
  failures.push(error.message.split('\n')[0]);
}
report({ ...figures, complaints }, failures);

async function play(page, address) {
  const loads = new Map();
  page.on('response', (response) => {
    const name = new URL(response.url()).pathname;
    if (/part_\d+\.m4s$/.test(name)) loads.set(name, (loads.get(name) ?? 0) + 1);
  });
  await page.goto(address);
  await page.waitForFunction(() => window.llhls?.stats().startup != null, null, { timeout: START_DEADLINE_MS });
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  const { startup, stalls, stalledSeconds, fatal } = await page.evaluate(() => window.llhls.stats());
  const again = [...loads].filter(([, times]) => times > 1).map(([name, times]) => `${name} ${times} times`);
  Object.assign(figures, {
    first: [...loads.keys()][0]?.split('/').pop() ?? null,
    startup: rounded(startup),
    parts: loads.size,
    stalls,
    stalledSeconds: rounded(stalledSeconds),
  });
  if (fatal !== null) failures.push(`fatal error: ${fatal}`);
  if (loads.size === 0) failures.push('no part was loaded');
  if (again.length) failures.push(`loaded again: ${again.join(', ')}`);
  if (stalls > 0) failures.push(`${stalls} stalls, ${stalledSeconds.toFixed(1)} s together`);
}

async function printedAddress(source) {
  const timer = setTimeout(() => source.kill('SIGKILL'), START_DEADLINE_MS);
  try {
    for await (const line of createInterface({ input: source.stdout })) {
      const found = /player\s+(http:\S+)/.exec(line);
      if (found) return found[1];
    }
  } finally {
    clearTimeout(timer);
    // Nobody reads what else it says; it must not wait for that.
    source.stdout.resume();
  }
  throw new Error(`${process.argv[2]} printed no address of its page`);
}
