// Every player of this machine against one running origin, one after the other, as a Markdown table.
//
//     node web/test/table.mjs URL [seconds] [--only NAME,NAME...] [--tracks audio,video]
//
// Exit code 1 when a player that is here does not play, or one named by --only is not here.
// Startup is the time from starting the player (or opening the source, in a browser) to its first frame.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, chmodSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { START_DEADLINE_MS, addresses, commandLine } from './browser.mjs';

const NOBODY = 65534;
const UNSUPPORTED = 3;
// What a terminal player may take before it is stopped, beyond the seconds it plays.
const SLACK_MS = 20000;

const names = option('--only')?.split(',');
const { url, seconds, tracks } = commandLine();
const hasVideo = tracks.length === 0 || tracks.includes('video');
const hasAudio = tracks.includes('audio');
const { page, playlist } = await addresses(url);

const players = [
  { name: 'hls.js', test: () => inBrowser('hlsjs.mjs', page, (got) => `hls.js ${got.hlsjs}, Chromium ${got.chromium}`) },
  { name: 'Shaka', test: () => inBrowser('shaka.mjs', playlist, (got) => `Shaka ${got.shaka}, Chromium ${got.chromium}`) },
  { name: 'Chromium', test: () => inBrowser('native.mjs', playlist, (got) => `Chromium ${got.chromium}, its own HLS`) },
  { name: 'ffmpeg', test: ffmpeg },
  { name: 'ffprobe', test: ffprobe },
  { name: 'VLC', test: vlc },
  { name: 'mpv', test: mpv },
  { name: 'hlsdemux2', test: () => gstreamer('hlsdemux2') },
  { name: 'hlsdemux', test: () => gstreamer('hlsdemux') },
];

const unknown = names?.filter((name) => !players.some((player) => player.name === name)) ?? [];
if (unknown.length) throw new Error(`no such player: ${unknown}; known are ${players.map((player) => player.name)}`);

const rows = [];
for (const player of players.filter(({ name }) => !names || names.includes(name))) {
  process.stderr.write(`${player.name} ...\n`);
  const row = await player.test().catch((error) => ({ isPlaying: false, result: error.message }));
  rows.push({ name: player.name, ...row });
  if (row.isPlaying === null ? names : !row.isPlaying) process.exitCode = 1;
}
print(rows);

function print(table) {
  const cell = (value, unit = '') => (value === null || value === undefined ? '–' : `${value}${unit}`.replaceAll('|', '\\|').replaceAll('\n', ' '));
  const time = (value) => cell(value?.toFixed(2), ' s');
  console.log('| player | version | result | startup | latency |\n|---|---|---|---|---|');
  for (const { name, version, result, startup, latency } of table) {
    console.log(`| ${name} | ${cell(version)} | ${cell(result)} | ${time(startup)} | ${time(latency)} |`);
  }
}

// Rows: isPlaying is null where there is nothing to judge (not installed, unsupported).
function notInstalled() {
  return { isPlaying: null, result: 'not installed' };
}

async function inBrowser(script, address, version) {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const { output, complaint, code } = await run(process.execPath, [path, address, String(seconds), ...(tracks.length ? ['--tracks', tracks.join()] : [])], { deadline: START_DEADLINE_MS * 2 });
  const line = output.split('\n').find((text) => text.startsWith('{'));
  // No line: the script could not even be loaded, for want of its packages or of the browser.
  if (!line) return /Cannot find (package|module)/.test(complaint) ? notInstalled() : { isPlaying: false, result: complaint };
  const got = JSON.parse(line);
  if (/executable doesn't exist|Cannot find (package|module)/i.test(got.failures.join())) return notInstalled();
  const row = { version: version(got), startup: got.startup, latency: got.latency };
  if (code === UNSUPPORTED) return { ...row, isPlaying: null, result: 'unsupported by this browser' };
  if (!got.ok) return { ...row, isPlaying: false, result: `fails: ${got.failures.join('; ')}` };
  // A player that jumps from hole to hole keeps its time, and yet nobody would call that playing.
  const verb = got.stalls > seconds / 4 ? 'stutters' : 'plays';
  const loaded = `${got.parts} parts and ${got.segments} segments loaded`;
  return { ...row, isPlaying: true, result: `${verb}, ${got.stalls} stalls, ${got.frames} frames (${got.droppedFrames} dropped), ${loaded}${got.note ?? ''}` };
}

async function ffmpeg() {
  const version = versionOf('ffmpeg', ['-version'], /version (\S+)/);
  if (!version) return notInstalled();
  let startup = null;
  let frames = 0;
  let played = 0;
  const { complaint } = await run('ffmpeg', [
    '-nostdin', '-v', 'error', '-progress', 'pipe:1', '-stats_period', '0.1', '-t', String(seconds), '-i', playlist, '-f', 'null', '-',
  ], {
    onLine: (line, elapsed) => {
      const [key, value] = line.split('=');
      if (key === 'frame') frames = Number(value);
      if (key === 'out_time_us') played = Number(value) / 1e6 || played;
      if (played > 0) startup ??= elapsed;
    },
  });
  if (!hasVideo) frames = null;
  return decoded({ version, frames, startup, isPlaying: played > seconds - 1, complaint });
}

async function ffprobe() {
  const version = versionOf('ffprobe', ['-version'], /version (\S+)/);
  if (!version) return notInstalled();
  const began = performance.now();
  const entries = 'stream=codec_type,codec_name,profile,width,height,channels,nb_read_packets';
  const { output, complaint, code } = await run('ffprobe', [
    '-v', 'error', '-count_packets', '-read_intervals', '%+3', '-show_entries', entries, '-of', 'json', playlist,
  ]);
  const streams = code === 0 ? JSON.parse(output).streams : [];
  const read = streams.filter((stream) => Number(stream.nb_read_packets) > 0);
  const names = read.map(({ codec_name: codec, profile, width, height, channels, nb_read_packets: packets }) => {
    const size = width ? `${width}x${height}` : `${channels} ch`;
    return [codec, profile, size, `${packets} packets`].filter(Boolean).join(' ');
  });
  const missing = tracks.filter((kind) => !read.some((stream) => stream.codec_type === kind));
  if (read.length === 0 || missing.length) return { version, isPlaying: false, result: `fails: no ${missing} in ${names}; ${complaint}` };
  return { version, isPlaying: true, result: `reads ${names.join('; ')}`, startup: (performance.now() - began) / 1000 };
}

async function vlc() {
  // As root VLC refuses to play, even to say its version.
  const home = mkdtempSync(join(tmpdir(), 'players-vlc-'));
  chmodSync(home, 0o777);
  const asNobody = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const environment = { ...asNobody, env: { ...process.env, HOME: home, XDG_RUNTIME_DIR: home } };
  try {
    const version = versionOf('cvlc', ['--version'], /VLC version (\S+)/, environment);
    if (!version) return notInstalled();
    let startup = null;
    let frames = 0;
    const asked = { timer: 0 };
    const { complaint } = await run('cvlc', ['-I', 'rc', '--rc-fake-tty', '--vout', 'dummy', '--aout', 'dummy', playlist], {
      ...environment,
      // Its command line is asked for the count, and told to leave in the end.
      onStart: (child) => {
        asked.timer = setInterval(() => child.stdin.write('stats\n'), 250);
        setTimeout(() => child.stdin.write('quit\n'), seconds * 1000).unref();
      },
      onLine: (line, elapsed) => {
        frames = Number(/frames displayed\s*:\s*(\d+)/.exec(line)?.[1] ?? frames);
        if (frames > 0) startup ??= elapsed;
      },
    }).finally(() => clearInterval(asked.timer));
    return decoded({ version, frames, startup, isPlaying: frames > seconds, complaint });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

async function mpv() {
  const version = versionOf('mpv', ['--version'], /mpv (\S+)/);
  if (!version) return notInstalled();
  let startup = null;
  let first = null;
  let last = null;
  let dropped = 0;
  const status = 'at ${=time-pos} lost ${frame-drop-count} ${decoder-frame-drop-count};';
  const { output, complaint } = await run('mpv', [
    '--no-config', '--vo=null', '--ao=null', `--length=${seconds}`, `--term-status-msg=${status}`, playlist,
  ], {
    onLine: (line, elapsed) => {
      for (const [, position, late, undecoded] of line.matchAll(/at ([\d.]+) lost (\d*) ?(\d*)/g)) {
        first ??= Number(position);
        last = Number(position);
        dropped = Number(late) + Number(undecoded);
        startup ??= elapsed;
      }
    },
  });
  const played = last === null ? 0 : last - first;
  const isPlaying = played > seconds - 1;
  const reason = complaint || /\[ffmpeg[^\n]*|Failed[^\n]*/.exec(output)?.[0] || '';
  const result = isPlaying ? `plays ${played.toFixed(1)} s, ${dropped} frames dropped` : `fails after ${played.toFixed(1)} s: ${reason}`;
  return { version, isPlaying, result, startup };
}

async function gstreamer(demuxer) {
  const version = versionOf('gst-inspect-1.0', [demuxer], /Version\s+(\S+)/);
  if (!version) return notInstalled();
  const isOld = demuxer === 'hlsdemux';
  // The old demuxer gives a stream joined late the time 0 while its frames count from the stream's start: with
  // sync=true a sink waits that difference before the first frame.
  const sink = `fpsdisplaysink video-sink=fakesink text-overlay=false fps-update-interval=200 sync=${!isOld}`;
  const pipeline = [isOld ? 'playbin' : 'playbin3', `uri=${playlist}`, `video-sink=${sink}`, `audio-sink=fakesink name=sound silent=false sync=${!isOld}`];
  const ranks = isOld ? 'hlsdemux:MAX,hlsdemux2:NONE' : 'hlsdemux2:MAX,hlsdemux:NONE';
  let startup = null;
  let frames = 0;
  let sounds = 0;
  let isInUse = false;
  const { complaint } = await run('gst-launch-1.0', ['-v', ...pipeline], {
    env: { ...process.env, GST_PLUGIN_FEATURE_RANK: ranks },
    onStart: (child) => setTimeout(() => child.kill('SIGINT'), seconds * 1000).unref(),
    onLine: (line, elapsed) => {
      isInUse ||= line.includes(isOld ? 'GstHLSDemux:' : 'GstHLSDemux2:');
      frames = Number(/last-message = rendered: (\d+)/.exec(line)?.[1] ?? frames);
      if (line.includes('(sound:sink)')) sounds += 1;
      if (frames > 0 || (!hasVideo && sounds > 0)) startup ??= elapsed;
    },
  });
  if (!isInUse) return { version, isPlaying: false, result: `fails: ${demuxer} was not used. ${complaint}` };
  const isPlaying = (!hasVideo || frames > seconds) && (!hasAudio || sounds > seconds * 10);
  const note = `${hasAudio ? ` and ${sounds} buffers of sound` : ''}${isOld ? ' (sync=false)' : ''}`;
  return decoded({ version, frames: hasVideo ? frames : null, startup, isPlaying, complaint, note });
}

// For players that count frames: at least one a second, to allow for a slow source.
function decoded({ version, frames, startup, isPlaying, complaint, note = '' }) {
  const what = frames === null ? 'sound' : `${frames} frames`;
  const result = isPlaying ? `decoded ${what} in ${seconds} s${note}` : `fails after ${what}${note}: ${complaint}`;
  return { version, isPlaying, result, startup };
}

// Null when the program is not there or does not answer.
function versionOf(program, words, pattern, options = {}) {
  const { stdout, stderr } = spawnSync(program, words, { ...options, encoding: 'utf8', timeout: 20000 });
  return pattern.exec(`${stdout}\n${stderr}`)?.[1] ?? null;
}

// Runs a program to its end, or ends it. `onLine` gets each line of its output and the seconds since its start.
function run(program, words, { onLine = () => {}, onStart = () => {}, deadline = SLACK_MS, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(program, words, options);
    const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000 + deadline);
    const output = [];
    const complaint = [];
    const take = (kept) => {
      let rest = '';
      return (data) => {
        kept.push(data);
        const lines = `${rest}${data}`.split(/[\r\n]/);
        rest = lines.pop();
        for (const line of lines) onLine(line, (performance.now() - began) / 1000);
      };
    };
    child.stdout.setEncoding('utf8').on('data', take(output));
    child.stderr.setEncoding('utf8').on('data', take(complaint));
    // A program that left is no longer listening.
    child.stdin.on('error', () => {});
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      const last = complaint.join('').replaceAll(/ @ 0x[0-9a-f]+/g, '').trim().split('\n').slice(-2).join(' ').slice(-200);
      resolve({ output: output.join(''), complaint: last, code });
    });
    onStart(child);
  });
}

function option(name) {
  const at = process.argv.indexOf(name);
  return at === -1 ? null : process.argv.splice(at, 2)[1];
}
