// Tells the step and the value under the pointer, a finger or the arrow keys. Without it the page lacks only that.
"use strict";
for (const plot of document.querySelectorAll(".plot")) {
  const tip = plot.querySelector(".tip"), cross = plot.querySelector(".cross");
  const data = plot.parentElement.querySelector("script[type='application/json']");
  const points = data ? JSON.parse(data.textContent) : null;
  let at = -1;
  const place = (x, y) => {
    tip.style.display = "block";
    const room = plot.clientWidth - tip.offsetWidth;
    tip.style.left = Math.max(-40, Math.min(room, x + 12 > room ? x - tip.offsetWidth - 12 : x + 12)) + "px";
    tip.style.top = Math.max(0, Math.min(plot.clientHeight - tip.offsetHeight, y)) + "px";
  };
  const hide = () => {
    tip.style.display = "none";
    if (cross) cross.style.display = "none";
    for (const on of plot.querySelectorAll("rect.on")) on.classList.remove("on");
  };
  const show = i => {
    at = Math.max(0, Math.min(points.length - 1, i));
    const x = points[at][0] / 1000 * plot.clientWidth;
    cross.style.left = x + "px";
    cross.style.display = "block";
    tip.textContent = points[at][1];
    place(x, 8);
  };
  const nearest = x => {
    let low = 0, high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < x) low = middle; else high = middle;
    }
    return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? low : high;
  };
  const point = event => {
    const box = plot.getBoundingClientRect();
    if (points) {
      if (points.length) show(nearest((event.clientX - box.left) / box.width * 1000));
      return;
    }
    hide();
    const name = event.target.dataset && event.target.dataset.n;
    if (!name) return;
    event.target.classList.add("on");
    tip.textContent = name;
    place(event.clientX - box.left, event.clientY - box.top + 14);
  };
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") hide(); });
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", event => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 }[event.key];
    if (event.key === "Escape") hide();
    if (!by || !points || !points.length) return;
    event.preventDefault();
    show(at + by);
  });
}
