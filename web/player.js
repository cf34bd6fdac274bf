// The player page of llhlssink: plays the live stream, says how far behind it is, and comes back by itself.
//
// hls.js plays where Media Source Extensions exist, the browser's own HLS elsewhere. What belongs here: playing,
// recovering and showing figures. What does not: reading playlists, which is hls.js's work; its events tell the edge.
'use strict';

const RENDER_MS = 250;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 8000;
// A player that failed again sooner than this has not recovered: the pause before the next try keeps growing.
const HEALTHY_MS = 10000;
// Longer than the origin parks a request that comes before the first playlist (10 s).
const PROBE_TIMEOUT_MS = 15000;
// A picture that stands still for so long, while the playlist goes on, will not move by itself again. While it does
// not, the run may be over, and it is asked this often whether another has begun.
const STUCK_MS = 6000;
// The same for a picture whose playlist has an end: sound that does not end with it is hardly still to come.
const STUCK_AT_END_MS = 1500;
// After a slow start, or when a hidden tab returns: below this distance a seek would cost more than it wins.
const WORTH_A_JUMP_SECONDS = 1;
// What one press of a hold-back button changes, and how close to the edge it may bring the picture.
const HOLD_BACK_STEP_SECONDS = 0.1;
const LEAST_HOLD_BACK_SECONDS = 0.1;
// What the received bit rate is counted over.
const BITRATE_MS = 10000;
const TIMESTAMPS_MS = 500;
// An answer that takes longer is not waited for: a browser has six connections to a server, and the player needs them.
const TIMESTAMPS_TIMEOUT_MS = 2000;
// Clocks drift: a millisecond in a hundred seconds is usual.
const COMPARE_CLOCKS_MS = 120000;
const SHOWN_TIMESTAMPS = 8;

const MISSING = 'Built without hls.js: run `make`, then restart. This browser plays no HLS without it.';

const video = document.getElementById('video');
// What goes behind every address of this server: an access token, or nothing.
const query = document.body.dataset.query ?? '';
const playlistUrl = new URL(document.body.dataset.playlist, document.baseURI).href;

// The hls.js instance in use; null before it is loaded, between two tries, and when the browser plays by itself.
let hls = null;
// Text of the last fatal error, never cleared: tests want to know that there was one.
let fatal = null;
let restarts = 0;
let retryTimer = 0;
let retryMs = FIRST_RETRY_MS;
// The playlist's text after the stream ended, for browsers that do not tell the folder: a text that differs is a new run.
let endedText = null;
let hasEnded = false;

// What the figures are made from.
let details = null;
// The folder the media of all renditions lies in, new in every run of the origin; null before the first playlist.
let folder = null;
// When the entry playlist was last asked for another run (performance.now()).
let askedAt = 0;
// The buffers hls.js fills, by what is in them: video, audio, or both together as audiovideo.
let tracks = {};
let parts = 0;
let segments = 0;
let stalls = 0;
let stalledMs = 0;
// When the stall now under way began (performance.now()); null while playing.
let stalledSince = null;
// When the picture first moved, and when it last started to (performance.now()); null before.
let startedAt = null;
let playingSince = null;
let lastRecovery = -Infinity;
// The server's clock minus ours, in milliseconds.
let clockOffset = 0;
// Was the picture moving when the tab went away? Someone who paused it wants it paused.
let wasPlayingWhenHidden = false;
// Set when the tab has returned, cleared by the jump: the edge known then may be as old as the absence.
let jumpAtNextUpdate = false;
// The hold-back the viewer chose, in seconds; null while the stream's own counts. It outlives a restart.
let holdBack = null;
// The level and the sound the viewer chose, as numbers; null while hls.js chooses. They outlive a restart.
let chosenLevel = null;
let chosenSound = null;
let isAskingForTimestamps = false;
// Media of the last seconds: `{ at, bytes }`.
let received = [];
const plot = new LatencyPlot(document.getElementById('plot'));

// For tests and for curious people with a console.
window.llhls = {
  get hls() { return hls; },
  stats,
};

setInterval(() => { render(); getUnstuck(); }, RENDER_MS);
listenToVideo();
document.getElementById('live').addEventListener('click', jumpToLive);
listenToChoices();
setInterval(showTimestamps, TIMESTAMPS_MS);
setInterval(compareClocks, COMPARE_CLOCKS_MS);
document.addEventListener('visibilitychange', followVisibility);
compareClocks();
begin();

async function begin() {
  if ('MediaSource' in window || 'ManagedMediaSource' in window) {
    const loaded = await loadHlsJs();
    if (loaded === 'away') return retryLater('The server does not answer');
    if (loaded === 'loaded' && Hls.isSupported()) return start();
  }
  if (playsNatively()) return start();
  show('missing', MISSING);
}

// 'loaded', 'missing' (the plugin was built without it) or 'away' (nobody there to ask).
// A script element cannot tell the last two apart, so a failure is asked about once more.
async function loadHlsJs() {
  if (window.Hls) return 'loaded';
  const script = document.createElement('script');
  script.src = `hls.min.js${query}`;
  const loaded = await new Promise((resolve) => {
    script.onload = () => resolve(true);
    script.onerror = () => resolve(false);
    document.head.append(script);
  });
  if (loaded && window.Hls) return 'loaded';
  script.remove();
  try {
    const answer = await fetch(`hls.min.js${query}`, { method: 'HEAD', cache: 'no-store' });
    return answer.status === 404 ? 'missing' : 'away';
  } catch {
    return 'away';
  }
}

function playsNatively() {
  return video.canPlayType('application/vnd.apple.mpegurl') !== '';
}

function start() {
  details = null;
  folder = null;
  tracks = {};
  playingSince = null;
  hasEnded = false;
  endedText = null;
  if (window.Hls && Hls.isSupported()) startHlsJs();
  else startNatively();
}

function startHlsJs() {
  // A new instance for every try: no half-done load, no latency penalty for stalls of the last run.
  hls?.destroy();
  hls = new Hls({
    lowLatencyMode: true,
    // Parts are fMP4 already, there is nothing for a worker to rewrite: it would only be one hop more.
    enableWorker: false,
    // A page left open for days must not keep what it has shown.
    backBufferLength: 30,
    // Latency lost in a stall is won back gently: at 10 % nobody sees or hears it.
    maxLiveSyncPlaybackRate: 1.1,
  });
  const { Events, ErrorTypes } = Hls;

  if (holdBack !== null) hls.targetLatency = holdBack;
  hls.on(Events.MANIFEST_PARSED, () => {
    offer('level', hls.levels.map(describeLevel), hls.levels.length > 1);
    if (chosenLevel !== null && chosenLevel < hls.levels.length) hls.nextLevel = select('levels', chosenLevel);
    play();
  });
  hls.on(Events.AUDIO_TRACKS_UPDATED, (_, { audioTracks }) => {
    offer('sound', audioTracks.map(describeSound), audioTracks.length > 1);
    if (chosenSound !== null && chosenSound < audioTracks.length) hls.audioTrack = chosenSound;
    select('sounds', hls.audioTrack);
  });
  // Which one plays when nobody chooses is known only now.
  hls.on(Events.AUDIO_TRACK_SWITCHED, (_, { id }) => select('sounds', id));
  hls.on(Events.BUFFER_CREATED, (_, created) => {
    tracks = created.tracks;
  });
  hls.on(Events.LEVEL_UPDATED, (_, update) => {
    details = update.details;
    // An origin restarted within seconds counts from the same numbers again: hls.js then takes the new run's segments
    // for ones it has, and stands still. Not from within its own event: it would be destroyed under its feet.
    if (isNewRun(update.details)) return setTimeout(restart, 0, hls);
    if (document.body.dataset.state === 'retrying') showPlaying();
    if (!jumpAtNextUpdate) return;
    jumpAtNextUpdate = false;
    if (hls.liveSyncPosition - video.currentTime > WORTH_A_JUMP_SECONDS) jumpToLive();
    else play();
  });
  // The sound may meet the new run first: the picture's playlist has an end then and is not asked for again.
  hls.on(Events.AUDIO_TRACK_UPDATED, (_, update) => {
    if (isNewRun(update.details)) setTimeout(restart, 0, hls);
  });
  hls.on(Events.FRAG_LOADED, (_, { frag, part }) => {
    received.push({ at: performance.now(), bytes: (part ?? frag).stats.loaded });
    if (part) parts += 1;
    else segments += 1;
  });
  hls.on(Events.ERROR, (_, error) => {
    if (!error.fatal) {
      // hls.js still tries by itself; it gives up a few seconds later, with a fatal error.
      const isPlaylist = /^(manifest|level|audioTrack)Load/.test(error.details);
      if (isPlaylist) show('retrying', 'The server does not answer. Trying again.');
      return;
    }
    fatal = `${error.type}: ${error.details}`;
    if (error.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) {
      return retryLater('This browser cannot decode this stream');
    }
    if (error.type === ErrorTypes.MEDIA_ERROR) return recoverMedia();
    retryLater(error.type === ErrorTypes.NETWORK_ERROR ? 'The server does not answer' : 'Playing failed');
  });

  hls.loadSource(playlistUrl);
  hls.attachMedia(video);
}

function isNewRun({ fragments }) {
  const map = fragments.at(-1)?.initSegment?.url;
  if (!map) return false;
  const before = folder;
  folder = new URL('.', map).href;
  return before !== null && before !== folder;
}

function startNatively() {
  video.src = playlistUrl;
  video.load();
  play();
}

async function play() {
  try {
    await video.play();
  } catch (error) {
    // Some browsers wait for a gesture even when muted. Any other reason arrives as an error event as well.
    if (error.name === 'NotAllowedError') show('paused', 'Press play to start.');
  }
}

// hls.js's way out of a broken buffer; when that was tried a moment ago, everything starts anew.
function recoverMedia() {
  const now = performance.now();
  const again = now - lastRecovery < HEALTHY_MS;
  lastRecovery = now;
  if (again) return retryLater('Playing failed');
  hls.recoverMediaError();
  play();
}

// Keeps the last picture on screen and asks for the playlist, ever more slowly, until it answers.
function retryLater(reason) {
  if (retryTimer) return;
  hls?.stopLoad();
  if (playingSince !== null && performance.now() - playingSince > HEALTHY_MS) retryMs = FIRST_RETRY_MS;
  playingSince = null;
  show('away', `${reason}. Trying again until it works.`);
  scheduleProbe();
}

function scheduleProbe() {
  retryTimer = setTimeout(probe, retryMs);
  retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
}

async function probe() {
  const text = await entryPlaylist();
  if (text === null || (hasEnded && isSameRun(text))) return scheduleProbe();
  retryTimer = 0;
  restart();
}

// The text at the stream's address; null while there is none.
async function entryPlaylist() {
  try {
    const answer = await fetch(playlistUrl, { cache: 'no-store', signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}

// Whether a playlist is of the run that was played. Its folder is named in every text, also where several renditions
// are listed. Where it is not known, an ended playlist never changes again: the same text means nothing new.
function isSameRun(text) {
  if (folder !== null) return text.includes(folder.split('/').at(-2));
  return (endedText ??= text) === text;
}

// `old` is the instance that saw a reason: two of its playlists may see the same one.
function restart(old = hls) {
  if (old !== hls) return;
  clearTimeout(retryTimer);
  retryTimer = 0;
  restarts += 1;
  compareClocks();
  // Through begin(), because the server may have been away before it could even hand out hls.js.
  begin();
}

function jumpToLive() {
  const { seekable } = video;
  const position = hls ? hls.liveSyncPosition : seekable.length && seekable.end(seekable.length - 1);
  if (position) video.currentTime = position;
  play();
}

// What the viewer may choose; with the browser's own player nothing of it is to be had.
function listenToChoices() {
  const on = (id, event, act) => document.getElementById(id).addEventListener(event, act);
  on('closer', 'click', () => moveBy(-HOLD_BACK_STEP_SECONDS));
  on('further', 'click', () => moveBy(HOLD_BACK_STEP_SECONDS));
  on('advised', 'click', () => {
    holdBack = null;
    // hls.js keeps a target once it is set: only a new instance asks the stream again.
    if (hls) restart();
  });
  on('levels', 'change', ({ target }) => {
    const level = Number(target.value);
    chosenLevel = level < 0 ? null : level;
    if (hls) hls.nextLevel = level;
  });
  on('sounds', 'change', ({ target }) => {
    chosenSound = Number(target.value);
    if (hls) hls.audioTrack = chosenSound;
  });
  document.addEventListener('keydown', (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      l: jumpToLive,
      p: () => (video.paused ? play() : video.pause()),
      m: () => { video.muted = !video.muted; },
      f: () => (document.fullscreenElement ? document.exitFullscreen() : video.requestFullscreen?.()),
      '-': () => moveBy(-HOLD_BACK_STEP_SECONDS),
      '+': () => moveBy(HOLD_BACK_STEP_SECONDS),
      '=': () => moveBy(HOLD_BACK_STEP_SECONDS),
    }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

// Plays so much further behind the live edge, from now on.
function moveBy(span) {
  if (!hls || hls.targetLatency === null) return;
  const before = hls.targetLatency;
  holdBack = Math.max(LEAST_HOLD_BACK_SECONDS, Math.round((before + span) * 10) / 10);
  hls.targetLatency = holdBack;
  // hls.js plays faster to come closer, and does nothing to fall back.
  if (holdBack > before) video.currentTime -= holdBack - before;
}

function offer(kind, names, isChoice) {
  const list = document.getElementById(`${kind}s`);
  const automatic = kind === 'level' ? [new Option('automatic', -1)] : [];
  list.replaceChildren(...automatic, ...names.map((name, index) => new Option(name, index)));
  document.getElementById(`${kind}-choice`).hidden = !isChoice;
}

// Shows which of a list it is, and answers that.
function select(list, number) {
  document.getElementById(list).value = String(number);
  return number;
}

function describeLevel({ height, bitrate }) {
  return [height && `${height}p`, `${Math.round(bitrate / 1000)} kbit/s`].filter(Boolean).join(', ');
}

function describeSound({ name, lang, channels }) {
  return [name, lang, channels && `${channels} ch`].filter(Boolean).join(', ');
}

// The newest parts by the origin's own record, while somebody looks.
async function showTimestamps() {
  if (isAskingForTimestamps || !document.getElementById('timestamps').open) return;
  isAskingForTimestamps = true;
  let stamps;
  try {
    const signal = AbortSignal.timeout(TIMESTAMPS_TIMEOUT_MS);
    stamps = await (await fetch(`timestamps.json${query}`, { cache: 'no-store', signal })).json();
  } catch {
    return;
  } finally {
    isAskingForTimestamps = false;
  }
  const rows = Object.entries(stamps.parts).sort((a, b) => b[1] - a[1]).slice(0, SHOWN_TIMESTAMPS);
  document.getElementById('stamps').replaceChildren(...rows.map(([name, published]) => {
    const captured = stamps.captured[name];
    const row = document.createElement('tr');
    const cells = [name, clock(captured), captured ? `${((published - captured) / 1e6).toFixed(0)} ms` : '–'];
    row.append(...cells.map((text) => Object.assign(document.createElement('td'), { textContent: text })));
    return row;
  }));
}

function clock(nanos) {
  return nanos ? new Date(nanos / 1e6).toISOString().slice(11, 23) : '–';
}

// Browsers slow down or stop what is hidden: the picture comes back late, and must catch up.
function followVisibility() {
  if (document.hidden) {
    wasPlayingWhenHidden = !video.paused;
    endStall();
    return;
  }
  compareClocks();
  if (!wasPlayingWhenHidden || startedAt === null) return;
  if (hls) jumpAtNextUpdate = true;
  else jumpToLive();
}

function listenToVideo() {
  video.addEventListener('playing', () => {
    if (startedAt === null) {
      startedAt = performance.now();
      // Where to begin is settled with the first playlist: what the start took since then is latency.
      if (hls && hls.latency - hls.targetLatency > WORTH_A_JUMP_SECONDS) jumpToLive();
    }
    playingSince ??= performance.now();
    endStall();
    showPlaying();
  });
  video.addEventListener('waiting', () => {
    // Only a picture that moved, should move, and is being watched can stall.
    if (playingSince === null || video.paused || video.seeking || document.hidden) return;
    if (stalledSince === null) stalls += 1;
    stalledSince ??= performance.now();
    if (document.body.dataset.state === 'live') show('stalled', 'Waiting for the stream.');
  });
  video.addEventListener('pause', () => {
    endStall();
    if (!video.ended && document.body.dataset.state === 'live') show('paused', 'Paused.');
  });
  video.addEventListener('ended', () => {
    hasEnded = true;
    show('ended', 'The stream has ended. It will play here when it starts again.');
    retryMs = LONGEST_RETRY_MS / 4;
    if (!retryTimer) scheduleProbe();
  });
  video.addEventListener('error', () => {
    // A source taken away on purpose is no error.
    if (!video.error || !video.currentSrc) return;
    fatal = `video: ${video.error.message || video.error.code}`;
    if (hls) recoverMedia();
    else retryLater('The stream cannot be played');
  });
}

function endStall() {
  if (stalledSince === null) return;
  stalledMs += performance.now() - stalledSince;
  stalledSince = null;
}

// hls.js fills holes and nudges by itself; this is for what it does not see.
function getUnstuck() {
  const patience = details?.live === false ? STUCK_AT_END_MS : STUCK_MS;
  if (!hls || retryTimer || stalledSince === null || performance.now() - stalledSince < patience) return;
  if (details?.live && details.age * 1000 < STUCK_MS / 2) retryLater('The picture stands still');
  else askForAnotherRun();
}

// While the source itself stands still there is nothing to win. But a run may have ended for one rendition only: when
// the other's reload came to the run after it, it was refused, and hls.js waits for it for ever.
async function askForAnotherRun() {
  const now = performance.now();
  if (folder === null || now - askedAt < STUCK_MS) return;
  askedAt = now;
  const asking = hls;
  const text = await entryPlaylist();
  if (text !== null && !isSameRun(text) && !retryTimer) restart(asking);
}

// PROGRAM-DATE-TIME is in the server's time. A viewer's clock may be seconds off, and would be shown as latency.
async function compareClocks() {
  try {
    const before = Date.now();
    const answer = await fetch(`timestamps.json${query}`, { cache: 'no-store' });
    const { timestamp } = await answer.json();
    const after = Date.now();
    const offset = timestamp / 1e6 - (before + after) / 2;
    // A difference that the round trip explains is none.
    if (Number.isFinite(offset)) clockOffset = Math.abs(offset) > (after - before) / 2 ? offset : 0;
  } catch {
    // Shown with our own clock then.
  }
}

function playingDate() {
  if (hls) return hls.playingDate?.getTime() ?? null;
  const startDate = video.getStartDate?.().getTime();
  return Number.isFinite(startDate) ? startDate + video.currentTime * 1000 : null;
}

// Seconds; null where nothing is known yet.
function stats() {
  // After the end the picture only grows older, which says nothing about the stream.
  const date = startedAt === null || hasEnded ? null : playingDate();
  const stall = stalledSince === null ? 0 : performance.now() - stalledSince;
  const lastPart = details?.partList?.at(-1);
  let edge = null;
  if (lastPart) edge = `${lastPart.fragment.sn}.${lastPart.index}`;
  else if (details) edge = `${details.fragments.at(-1)?.sn ?? details.endSN}`;
  return {
    latency: hls && details && startedAt !== null && !hasEnded ? hls.latency : null,
    playingLatency: date === null ? null : (Date.now() + clockOffset - date) / 1000,
    stalls,
    stalledSeconds: (stalledMs + stall) / 1000,
    edge,
    buffer: bufferAhead(video.buffered),
    // Of each kind by itself: of a hole in the sound the element's own ranges say only that something is missing.
    buffers: Object.fromEntries(Object.entries(tracks).map(([kind, { buffer }]) => [kind, trackAhead(buffer)])),
    // Bits a second of media that came in.
    bitrate: bitrate(),
    targetLatency: hls?.targetLatency ?? null,
    level: hls?.levels?.length ? hls.currentLevel : null,
    levels: hls?.levels?.length ?? 0,
    fatal,
    currentTime: video.currentTime,
    lowLatency: Boolean(hls?.lowLatencyMode && lastPart),
    parts,
    segments,
    restarts,
    // From opening the page to the first moving picture.
    startup: startedAt === null ? null : startedAt / 1000,
    state: document.body.dataset.state,
  };
}

function bitrate() {
  const now = performance.now();
  received = received.filter(({ at }) => now - at < BITRATE_MS);
  if (received.length < 2) return null;
  // From the first to the last: what came with the first was sent before.
  const [first, ...rest] = received;
  const span = received.at(-1).at - first.at;
  return span > 0 ? rest.reduce((sum, { bytes }) => sum + bytes, 0) * 8000 / span : null;
}

function trackAhead(buffer) {
  try {
    return buffer ? bufferAhead(buffer.buffered) : 0;
  } catch {
    // The browser gave up the track, and its error is on its way.
    return 0;
  }
}

function bufferAhead(buffered) {
  const { currentTime } = video;
  for (let i = 0; i < buffered.length; i += 1) {
    // The first frame of a buffer may lie a hair after the position that plays it.
    if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
  }
  return 0;
}

function showPlaying() {
  if (video.paused || retryTimer) return;
  if (stalledSince === null) show('live', 'Playing live.');
  else show('stalled', 'Waiting for the stream.');
}

// One sentence for people (screen readers hear it), one word for the badge and the style sheet.
function show(state, sentence) {
  document.body.dataset.state = state;
  write('message', sentence);
  write('badge', {
    away: 'Away', ended: 'Ended', live: 'Live', missing: 'No player', paused: 'Paused', retrying: 'Retrying', stalled: 'Waiting',
  }[state]);
}

function render() {
  const now = stats();
  write('playing-latency', seconds(now.playingLatency, 2));
  write('latency', seconds(now.latency, 2));
  write('edge', now.edge ?? '–');
  write('buffer', startedAt === null ? '–' : seconds(now.buffer, 2));
  write('stalls', now.stalls === 0 ? 'none' : `${now.stalls}, ${seconds(now.stalledSeconds, 1)}`);
  write('picture', picture());
  write('level', level(now));
  write('sound', sound());
  write('bitrate', now.bitrate === null ? '–' : `${(now.bitrate / 1e6).toFixed(2)} Mbit/s`);
  write('target', seconds(now.targetLatency, 2));
  document.getElementById('hold-back').hidden = !hls;
  plot.add({ at: performance.now(), latency: now.playingLatency, isStalled: stalledSince !== null });
  plot.draw();
  write('plot-summary', plot.summary());
  write('codec', Object.values(tracks).map((track) => track.codec).filter(Boolean).join(', ') || '–');
  write('player', hls ? `hls.js ${Hls.version}` : video.currentSrc ? 'the browser’s own' : '–');
  if (!hls || !details) return;
  write('mode', now.lowLatency ? 'parts, low latency' : 'whole segments');
  write('loaded', `${now.parts} parts, ${now.segments} segments`);
}

function picture() {
  if (video.videoWidth) return `${video.videoWidth} × ${video.videoHeight}`;
  return tracks.audio && !tracks.video && !tracks.audiovideo ? 'none' : '–';
}

// Which variant of how many is played, the best one first.
function level({ level: index, levels }) {
  const playing = hls?.levels?.[index];
  if (!playing) return '–';
  const rate = `${Math.round(playing.bitrate / 1000)} kbit/s`;
  return levels === 1 ? rate : `${levels - index} of ${levels}, ${rate}`;
}

function sound() {
  const rendition = hls?.audioTracks?.[hls.audioTrack];
  if (rendition) return describeSound(rendition);
  return tracks.audio || /mp4a|opus/i.test(tracks.audiovideo?.codec ?? '') ? 'yes' : '–';
}

function seconds(value, digits) {
  return value === null ? '–' : `${value.toFixed(digits)} s`;
}

function write(id, text) {
  const element = document.getElementById(id);
  // Untouched text is neither laid out nor read aloud again.
  if (element.textContent !== text) element.textContent = text;
}
