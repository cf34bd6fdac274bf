// A clip in a loop: past its end the stream goes on, without a discontinuity.
//
//     node web/test/loop.mjs URL SEGMENTS
//
// URL is the player page, SEGMENTS how many there must have been: more than one turn of the clip has.

const DEADLINE_MS = 60_000;
const [page, segments] = process.argv.slice(2);
const deadline = Date.now() + DEADLINE_MS;

async function read(path) {
  const answer = await fetch(new URL(path, page), { signal: AbortSignal.timeout(15_000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.text();
}

let stats;
do {
  if (Date.now() > deadline) throw new Error(`only ${JSON.stringify(stats?.tracks)} in ${DEADLINE_MS / 1000} s`);
  stats = JSON.parse(await read('stats.json'));
  await new Promise((resolve) => setTimeout(resolve, 250));
} while (!(stats.tracks[0]?.segments >= Number(segments)));

const playlist = await read('live.m3u8');
if (/#EXT-X-(DISCONTINUITY|ENDLIST)\s*$/m.test(playlist)) throw new Error(`the loop shows:\n${playlist}`);
if (stats.violations > 0) throw new Error(`${stats.violations} violations`);
