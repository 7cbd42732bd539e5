"use strict";
const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const isDark = getComputedStyle(root).colorScheme === "dark" ||
    (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = isDark ? "light" : "dark";
});

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});

for (const plot of document.querySelectorAll("svg[data-at]")) {
  const figure = plot.closest("figure");
  const tip = figure.querySelector(".tip");
  const cross = plot.querySelector(".cross");
  const rows = figure.querySelectorAll("tbody tr");
  const places = plot.dataset.at.split(" ").map(Number);
  const rest = "Point at the curves for their numbers.";
  tip.textContent = rest;
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const at = 1000 * (event.clientX - box.left) / box.width;
    let best = 0;
    places.forEach((place, n) => { if (Math.abs(place - at) < Math.abs(places[best] - at)) best = n; });
    const [from, p50, p95, p99, n] = [...rows[best].children].map((cell) => cell.textContent);
    tip.textContent = `${from}: p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms (n = ${n})`;
    cross.setAttribute("x1", `${places[best] / 10}%`);
    cross.setAttribute("x2", `${places[best] / 10}%`);
    cross.classList.add("on");
  });
  plot.addEventListener("pointerleave", () => {
    cross.classList.remove("on");
    tip.textContent = rest;
  });
}
