"use strict";
const start = () => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  document.documentElement.classList.add("scripted");

  // Points and hours tell what they are in a line of their chart, at once and for longer than a browser's own hint.
  for (const plot of all(".plot")) {
    const line = plot.parentElement.querySelector(".told-here");
    for (const title of all("title", plot)) {
      const told = title.textContent;
      title.parentElement.addEventListener("pointerenter", () => { line.textContent = told; });
      title.remove();
    }
  }

  // Options: the same choice for the charts and the table.
  const selects = all("select[data-key]");
  const rows = all("tr[data-option]");
  const points = all("g[data-option]");
  const shownOptions = document.getElementById("options-shown");
  const narrow = () => {
    const wanted = selects.filter((select) => select.value !== "");
    const shown = new Set();
    for (const row of rows) {
      row.hidden = !wanted.every((select) => row.dataset[select.dataset.key] === select.value);
      if (!row.hidden) shown.add(row.dataset.option);
    }
    points.forEach((point) => point.toggleAttribute("hidden", !shown.has(point.dataset.option)));
    shownOptions.textContent = `${shown.size} options shown`;
  };
  selects.forEach((select) => select.addEventListener("change", narrow));
  const reset = document.getElementById("options-reset");
  if (reset) reset.addEventListener("click", () => { selects.forEach((select) => { select.value = ""; }); narrow(); });
  if (shownOptions) narrow();

  // Rejections: rows that hold every word of the search.
  const search = document.getElementById("search");
  if (search) {
    const rows = all("#searched tbody tr").map((row) => [row, row.textContent.toLowerCase()]);
    const told = document.getElementById("search-shown");
    const find = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        count += row.hidden ? 0 : 1;
      }
      told.textContent = `${count} rows shown`;
    };
    search.addEventListener("input", find);
    find();
  }

};
// Paper shows what is folded too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
start();
