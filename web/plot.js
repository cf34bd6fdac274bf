// Latency over time, on a canvas: a line, a mark where the picture stood still, and the same in words.
//
// What belongs here: samples and their drawing. What does not: where the samples come from (player.js).
'use strict';

const PLOT_SECONDS = 300;
// Left for the figures of the scale.
const PLOT_MARGIN = 44;
const PLOT_STEPS = [0.25, 0.5, 1, 2, 5, 10, 30, 60];

class LatencyPlot {
  // `{ at, latency, isStalled }`, the newest last; latency in seconds, null where it was not known.
  #samples = [];

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
  }

  add(sample) {
    this.#samples.push(sample);
    const oldest = sample.at - PLOT_SECONDS * 1000;
    while (this.#samples[0].at < oldest) this.#samples.shift();
  }

  // In words, for those who do not see the line.
  summary() {
    const known = this.#samples.map(({ latency }) => latency).filter((latency) => latency !== null).sort((a, b) => a - b);
    if (!known.length) return 'No latency measured yet.';
    const of = (share) => `${known[Math.min(known.length - 1, Math.floor(known.length * share))].toFixed(2)} s`;
    return `Median ${of(0.5)}, 95 % under ${of(0.95)}, worst ${of(1)}.`;
  }

  draw() {
    const { canvas, context } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
    const now = performance.now();
    const most = Math.max(1, ...this.#samples.map(({ latency }) => latency ?? 0));
    const step = PLOT_STEPS.find((candidate) => most / candidate <= 4) ?? PLOT_STEPS.at(-1);
    const top = Math.ceil(most / step) * step;
    const x = (at) => PLOT_MARGIN + (width - PLOT_MARGIN) * (1 - (now - at) / (PLOT_SECONDS * 1000));
    // Room for half a line of text above and below.
    const y = (latency) => height - 8 - (height - 16) * (latency / top);

    context.font = '12px system-ui, sans-serif';
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    for (let line = 0; line <= top + step / 2; line += step) {
      context.fillStyle = colour('--line');
      context.fillRect(PLOT_MARGIN, y(line), width - PLOT_MARGIN, 1);
      context.fillStyle = colour('--muted');
      context.fillText(`${Number(line.toFixed(2))} s`, PLOT_MARGIN - 6, y(line));
    }
    context.fillStyle = colour('--warn');
    for (const { at, isStalled } of this.#samples) {
      if (isStalled) context.fillRect(x(at) - 1, 8, 2, height - 16);
    }
    context.strokeStyle = colour('--live');
    context.lineWidth = 2;
    context.lineJoin = 'round';
    context.beginPath();
    let isDrawing = false;
    for (const { at, latency } of this.#samples) {
      if (latency !== null) context[isDrawing ? 'lineTo' : 'moveTo'](x(at), y(latency));
      isDrawing = latency !== null;
    }
    context.stroke();
  }
}
