// Draws the plan from the numbers in the page: moves, zooms, finds. Without it there is a picture that stands still.
"use strict";
(() => {
  const get = id => document.getElementById(id);
  const data = JSON.parse(get("data").textContent);
  const { steps, bytes, low, bound, line, roles, programs, names, values } = data;
  const canvas = get("canvas"), tip = get("tip"), context = canvas.getContext("2d");
  const START = 0, END = 1, BOTTOM = 2, TOP = 3, ROLE = 4, NAME = 5;
  // In the order of time, so that a walk from value to value goes from left to right and upwards.
  values.sort((a, b) => a[START] - b[START] || a[BOTTOM] - b[BOTTOM]);
  // A load line far above the plan would leave no room for it; it is told in words.
  const drawn = line !== null && line <= 1.5 * bytes ? line : null;
  const top = Math.max(bytes, drawn || 0);
  const view = { from: 0, to: steps, floor: 0, ceiling: top };
  const margin = { left: 72, right: 6, top: 40, bottom: 6 };
  let width = 0, height = 0, chosen = -1, found = null, ratio = 1, colours = {};

  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const sized = (n, digits = 3) => {
    let unit = 0;
    while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit++; }
    const long = digits > 3 ? n.toPrecision(digits) : n >= 100 ? n.toFixed(0) : n.toPrecision(3);
    return (unit === 0 ? n.toFixed(0) : long) + " " + units[unit];
  };
  const counted = n => Math.round(n).toLocaleString("en");
  const floor = () => view.floor, ceiling = () => view.ceiling;
  const x = step => margin.left + (step - view.from) / (view.to - view.from) * (width - margin.left - margin.right);
  const y = at => height - margin.bottom - (at - floor()) / Math.max(1, ceiling() - floor()) * (height - margin.top - margin.bottom);
  const stepAt = px => view.from + (px - margin.left) / (width - margin.left - margin.right) * (view.to - view.from);

  const look = () => {
    const style = getComputedStyle(document.documentElement), read = name => style.getPropertyValue(name).trim();
    colours = { ink: read("--ink"), faint: read("--faint"), rule: read("--rule"), panel: read("--panel"), load: read("--load") };
    colours.roles = roles.map((_, i) => read("--r" + i));
    colours.font = getComputedStyle(document.body).fontFamily;
  };
  const write = (text, px, py, colour, align = "left", size = 12) => {
    context.font = `${size}px ${colours.font}`;
    context.fillStyle = colour;
    context.textAlign = align;
    context.fillText(text, px, py);
  };
  const boxOf = v => {
    const left = Math.max(margin.left, x(v[START])), right = Math.min(width - margin.right, x(v[END]));
    const top = Math.max(margin.top, y(v[TOP])), bottom = Math.min(height - margin.bottom, y(v[BOTTOM]));
    return [left, top, right - left, bottom - top];
  };
  const rectangle = (v, least) => {
    if (v[END] <= view.from || v[START] >= view.to || v[TOP] <= floor() || v[BOTTOM] >= ceiling()) return;
    const [left, top, wide, high] = boxOf(v);
    context.fillStyle = colours.roles[v[ROLE]];
    // What is narrower than a pixel is drawn as one, so that nothing is lost.
    context.fillRect(left, top, Math.max(least, wide - (wide > 3 ? 0.6 : 0)), Math.max(least, high - (high > 3 ? 0.6 : 0)));
    if (wide <= 90 || high <= 15) return;
    context.save();
    context.beginPath();
    context.rect(left, top, wide - 4, high);
    context.clip();
    write(names[v[NAME]], left + 5, top + high / 2 + 4, [3, 5, 7].includes(v[ROLE]) ? "#10151a" : onDark(v[ROLE]));
    context.restore();
  };
  const draw = () => {
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const right = width - margin.right, under = height - margin.bottom;
    // As many digits as tell one mark from the next.
    const apart = (ceiling() - floor()) / 4, digits = floor() > 0 ? Math.min(8, 2 + Math.ceil(Math.log10(ceiling() / apart))) : 3;
    for (let quarter = 0; quarter <= 4; quarter++) {
      const at = floor() + (ceiling() - floor()) * quarter / 4;
      context.strokeStyle = colours.rule;
      context.beginPath();
      context.moveTo(margin.left, y(at));
      context.lineTo(right, y(at));
      context.stroke();
      write(sized(at, digits), margin.left - 7, y(at) + 4, colours.faint, "right");
    }
    values.forEach(v => rectangle(v, 0.7));
    if (found) {
      // A veil over all, and what was found above it, large enough to be seen.
      context.globalAlpha = 0.8;
      context.fillStyle = colours.panel;
      context.fillRect(margin.left, margin.top, right - margin.left, under - margin.top);
      context.globalAlpha = 1;
      for (const i of found) rectangle(values[i], 2);
    }
    let free = [-1e9, -1e9];
    for (const [name, from, to] of programs) {
      if (to <= view.from || from > view.to) continue;
      const px = Math.max(margin.left, x(from));
      context.strokeStyle = colours.ink;
      context.setLineDash([3, 3]);
      context.beginPath();
      context.moveTo(px, margin.top - 4);
      context.lineTo(px, under);
      context.stroke();
      context.setLineDash([]);
      const text = `${name} ${counted(to - from)}`;
      context.font = `12px ${colours.font}`;
      const long = context.measureText(text).width, at = Math.max(margin.left, Math.min(px, right - long));
      const row = free.findIndex(end => end + 8 < at);
      if (row < 0) continue;
      write(text, at, 12 + row * 15, colours.faint);
      free[row] = at + long;
    }
    level(bound, [6, 4]);
    if (drawn !== null) level(drawn, []);
    if (chosen >= 0) {
      const [left, top, wide, high] = boxOf(values[chosen]);
      if (wide >= 0 && high >= 0) {
        context.strokeStyle = colours.ink;
        context.lineWidth = 2;
        context.strokeRect(left, top, Math.max(2, wide), Math.max(2, high));
        context.lineWidth = 1;
      }
    }
    const whole = view.from <= 0 && view.to >= steps;
    const part = floor() > 0 || ceiling() < top ? ` From ${sized(floor(), digits)} to ${sized(ceiling(), digits)}.` : "";
    const far = line !== null && drawn === null ? ` The load line, ${sized(line)}, is ${(line / bytes).toFixed(1)} times as high as the plan.` : "";
    get("shown").textContent = (whole ? `All ${counted(steps)} dispatches.` : `Dispatches ${counted(view.from + 1)} to ${counted(view.to)} of ${counted(steps)}.`) + part + far;
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const onDark = role => dark.matches && role !== 0 ? "#10151a" : "#fff";
  const level = (at, dash) => {
    if (at < floor() || at > ceiling()) return;
    context.strokeStyle = colours.load;
    context.lineWidth = 2;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(margin.left, y(at));
    context.lineTo(width - margin.right, y(at));
    context.stroke();
    context.setLineDash([]);
    context.lineWidth = 1;
  };
  let asked = false;
  const redraw = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  };
  const fit = () => {
    ratio = window.devicePixelRatio || 1;
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    redraw();
  };
  const show = (from, to) => {
    const length = Math.max(Math.min(steps, 2), Math.min(steps, to - from));
    view.from = Math.max(0, Math.min(steps - length, from));
    view.to = view.from + length;
    redraw();
  };
  // Around what was chosen, where that is in sight.
  const middle = () => {
    const v = chosen >= 0 ? values[chosen] : [0, 0], at = (Math.max(v[START], view.from) + Math.min(v[END], view.to)) / 2;
    return chosen >= 0 && at > view.from && at < view.to ? at : (view.from + view.to) / 2;
  };
  const between = (low, high) => {
    const length = Math.max(64, Math.min(top, high - low));
    view.floor = Math.max(0, Math.min(top - length, low));
    view.ceiling = view.floor + length;
    redraw();
  };
  const all = () => { get("moving").checked = false; between(0, top); show(0, steps); };
  // As near to a value as lets its neighbours be seen.
  const near = () => {
    if (chosen < 0) return;
    const v = values[chosen], life = v[END] - v[START], high = v[TOP] - v[BOTTOM];
    get("moving").checked = false;
    show(v[START] - life / 2 - 2, v[END] + life / 2 + 2);
    between(v[BOTTOM] - 6 * high, v[TOP] + 6 * high);
    const [left, above, wide, tall] = boxOf(v);
    tell(chosen, left + wide / 2, above + tall / 2);
  };
  const zoom = (by, at = middle()) => {
    const share = (at - view.from) / (view.to - view.from), length = (view.to - view.from) * by;
    show(at - length * share, at - length * share + length);
  };
  const move = share => show(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
  const tell = (i, px, py) => {
    chosen = i;
    if (i < 0) { tip.style.display = "none"; redraw(); return; }
    const v = values[i];
    tip.textContent = `${names[v[NAME]]}\ndispatches ${counted(v[START] + 1)} to ${counted(v[END])}, ${sized(v[BOTTOM])} from the bottom`;
    tip.style.display = "block";
    tip.style.left = Math.max(0, Math.min(width - tip.offsetWidth, px + 12)) + "px";
    tip.style.top = Math.max(0, Math.min(height - tip.offsetHeight, py + 14)) + "px";
    redraw();
  };
  const hit = (px, py) => {
    let best = -1, least = Infinity;
    values.forEach((v, i) => {
      // Whoever points at a hairline points beside it.
      const left = x(v[START]) - 1, right = x(v[END]) + 1, top = y(v[TOP]) - 1, under = y(v[BOTTOM]) + 1;
      const area = (right - left) * (under - top);
      if (px >= left && px <= right && py >= top && py <= under && area < least) { best = i; least = area; }
    });
    return py < margin.top - 2 || px < margin.left ? -1 : best;
  };
  const walk = by => {
    const list = found ? [...found] : values.map((_, i) => i);
    if (!list.length) return;
    const at = list.indexOf(chosen);
    const i = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length], v = values[i];
    if (v[TOP] <= floor() || v[BOTTOM] >= ceiling()) {
      get("moving").checked = false;
      const length = ceiling() - floor(), at = (v[TOP] + v[BOTTOM]) / 2;
      between(at - length / 2, at + length / 2);
    }
    if (v[END] <= view.from || v[START] >= view.to) {
      const length = view.to - view.from, middle = (v[START] + v[END]) / 2;
      show(middle - length / 2, middle + length / 2);
    }
    const [left, top, wide, high] = boxOf(v);
    tell(i, left + wide / 2, top + high / 2);
    get("told").textContent = `${found ? `${list.indexOf(i) + 1} of ${list.length}: ` : ""}${tip.textContent.replace("\n", "; ")}`;
  };
  const find = () => {
    const word = get("find").value.trim().toLowerCase();
    found = word ? new Set(values.flatMap((v, i) => names[v[NAME]].toLowerCase().includes(word) ? [i] : [])) : null;
    const sum = found ? [...found].reduce((all, i) => all + values[i][TOP] - values[i][BOTTOM], 0) : 0;
    get("told").textContent = found ? `${counted(found.size)} of ${counted(values.length)} values, ${sized(sum)} together.` : "";
    tell(-1);
  };

  const press = { left: () => move(-0.25), right: () => move(0.25), in: () => zoom(0.5), out: () => zoom(2), all, near, next: () => walk(1), previous: () => walk(-1) };
  for (const [id, act] of Object.entries(press)) get(id).addEventListener("click", act);
  get("find").addEventListener("input", find);
  get("find").addEventListener("keydown", event => { if (event.key === "Enter") { event.preventDefault(); walk(event.shiftKey ? -1 : 1); } });
  get("program").addEventListener("change", event => {
    const program = programs.find(([name]) => name === event.target.value);
    show(program ? program[1] : 0, program ? program[2] : steps);
  });
  get("moving").addEventListener("change", event => { between(event.target.checked ? low : 0, top); tell(-1); });
  canvas.addEventListener("keydown", event => {
    const act = {
      ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), ArrowUp: () => zoom(0.7), ArrowDown: () => zoom(1 / 0.7),
      "+": () => zoom(0.5), "-": () => zoom(2), "=": () => zoom(0.5), Home: all, g: near,
      n: () => walk(1), p: () => walk(-1), Escape: () => tell(-1),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  canvas.addEventListener("wheel", event => {
    // A page must scroll; who means the picture has it in focus, or holds Ctrl, which is what pinching a touchpad sends.
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(event.deltaX / width);
    else zoom(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY / 300))), stepAt(event.offsetX));
  }, { passive: false });
  const fingers = new Map();
  let dragged = false;
  const place = event => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("pointerdown", event => { fingers.set(event.pointerId, place(event)); dragged = false; });
  canvas.addEventListener("pointermove", event => {
    const [px, py] = place(event), before = fingers.get(event.pointerId);
    if (!before) { tell(hit(px, py), px, py); return; }
    const scale = (view.to - view.from) / (width - margin.left - margin.right);
    if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const was = Math.abs(before[0] - other[0]), is = Math.abs(px - other[0]);
      if (was > 8 && is > 8) zoom(was / is, stepAt(other[0]));
      dragged = true;
    } else if (dragged || Math.abs(px - before[0]) > 4) {
      if (!dragged) { dragged = true; canvas.setPointerCapture(event.pointerId); tell(-1); }
      show(view.from - (px - before[0]) * scale, view.to - (px - before[0]) * scale);
      const rise = (py - before[1]) * (ceiling() - floor()) / (height - margin.top - margin.bottom);
      if (event.pointerType === "mouse" && ceiling() - floor() < top) between(floor() + rise, ceiling() + rise);
    } else return;
    fingers.set(event.pointerId, [px, py]);
  });
  canvas.addEventListener("pointerup", event => {
    const [px, py] = place(event);
    if (!dragged) tell(hit(px, py), px, py);
    fingers.delete(event.pointerId);
  });
  canvas.addEventListener("dblclick", near);
  for (const gone of ["pointercancel", "pointerleave"]) canvas.addEventListener(gone, event => {
    fingers.delete(event.pointerId);
    if (event.pointerType === "mouse") tell(-1);
  });
  dark.addEventListener("change", () => { look(); redraw(); });
  new ResizeObserver(fit).observe(canvas);
  get("plan-picture").hidden = false;
  look();
  fit();
})();
