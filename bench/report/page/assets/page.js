"use strict";
// Sorting, choosing and filtering of tables that are there without it. What is chosen stands behind the "#" of
// the address, so that a view can be linked; an address that names a place on the page chooses nothing.
(() => {
  const find = (what, where = document) => [...where.querySelectorAll(what)];
  const form = document.getElementById("choose");
  const said = document.getElementById("said");
  const fields = ["q", "suite", "dataset", "metric", "rate"];
  const field = (name) => document.getElementById(name);
  const defaults = Object.fromEntries(fields.map((name) => [name, field(name).value]));
  const suites = find(".suite").map((section) => ({
    section,
    variants: find(".variant", section),
    absent: section.querySelector(".absent"),
    words: new Map(find(".methods [data-row]", section).map((each) => [each.dataset.row, each.textContent.toLowerCase()])),
    methods: find(".methods [data-row]", section),
  }));
  // Which column a reader sorted a table by, by the table's key: the same for all metrics and rates.
  const sorts = new Map();

  const text = (row, at) => row.cells[at].textContent.trim();
  const collator = new Intl.Collator("en", { numeric: true });

  /** Order two rows; one without a number comes last, whatever the direction. */
  function compare(one, other, at, words, sign) {
    if (words) return sign * collator.compare(text(one, at), text(other, at));
    const [a, b] = [one, other].map((row) => row.cells[at].dataset.v);
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    return sign * (a - b);
  }

  /** Sort every group of a table for itself, or put it back into its first order. */
  function sort(table) {
    const chosen = sorts.get(table.dataset.key);
    const heads = [...table.tHead.rows[0].cells];
    const at = chosen ? heads.findIndex((head) => head.dataset.column === chosen.column) : -1;
    const first = at < 0 ? heads.findIndex((head) => /^(average|data set|task)/.test(head.dataset.column)) : at;
    const direction = at < 0 ? heads[first]?.dataset.first : chosen.direction;
    heads.forEach((head, i) => (i === first ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
    for (const body of table.tBodies) {
      const rows = find("tr[data-row]", body);
      rows.forEach((row, i) => (row.dataset.place ??= i));
      rows.sort((a, b) => a.dataset.place - b.dataset.place);
      if (at >= 0) {
        const words = "words" in heads[at].dataset;
        rows.sort((a, b) => compare(a, b, at, words, direction === "ascending" ? 1 : -1));
      }
      body.append(...rows);
    }
  }

  /** Show the rows whose method is meant and the columns of the data set that is chosen. */
  function filter(table, meant, dataset) {
    const heads = [...table.tHead.rows[0].cells];
    const away = heads.map((head) => Boolean(dataset && head.dataset.dataset && head.dataset.dataset !== dataset));
    for (const row of find("tr:not(.group)", table)) {
      [...row.cells].forEach((cell, i) => (cell.hidden = away[i]));
      if (row.dataset.row) row.hidden = !meant(row.dataset.row);
    }
    for (const body of table.tBodies) body.hidden = !find("tr[data-row]:not([hidden])", body).length;
  }

  function showSuite(suite, chosen, needles) {
    const { section, variants } = suite;
    section.hidden = Boolean(chosen.suite) && chosen.suite !== section.dataset.suite;
    if (section.hidden) return [0, 0];
    const meant = (row) => needles.every((needle) => suite.words.get(row).includes(needle));
    const holds = (variant) => !chosen.dataset || find("details.tasks", variant).some((each) => each.dataset.dataset === chosen.dataset);
    let shown;
    for (const variant of variants) {
      variant.hidden = variant.dataset.metric !== chosen.metric || variant.dataset.rate !== chosen.rate || !holds(variant);
      if (!variant.hidden) shown = variant;
    }
    suite.absent.hidden = Boolean(shown);
    for (const each of suite.methods) each.hidden = !meant(each.dataset.row);
    if (!shown) return [0, 0];
    for (const details of find("details.tasks", shown)) {
      details.hidden = Boolean(chosen.dataset) && details.dataset.dataset !== chosen.dataset;
    }
    for (const table of find("table", shown)) {
      filter(table, meant, chosen.dataset);
      sort(table);
    }
    return [suite.methods.filter((each) => !each.hidden).length, suite.methods.length];
  }

  function show() {
    const chosen = Object.fromEntries(fields.map((name) => [name, field(name).value]));
    const needles = chosen.q.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = suites.map((suite) => showSuite(suite, chosen, needles));
    const [shown, all] = [0, 1].map((i) => counts.reduce((sum, each) => sum + each[i], 0));
    said.textContent = `${shown} of ${all} row${all === 1 ? "" : "s"} shown`;
  }

  /** Write what is chosen behind the address; what was not chosen is left out. */
  function remember() {
    const words = new URLSearchParams();
    for (const name of fields) if (field(name).value !== defaults[name]) words.set(name, field(name).value);
    for (const [key, { column, direction }] of sorts) words.append("sort", JSON.stringify([key, column, direction]));
    history.replaceState(null, "", `#${words}`);
  }

  function readSort(text) {
    try {
      const [key, column, direction] = JSON.parse(text);
      if (["ascending", "descending"].includes(direction)) sorts.set(key, { column, direction });
    } catch {
      // Somebody's own address: it sorts nothing.
    }
  }

  /** Show a place on the page that is not among what was chosen. */
  function goTo(place) {
    if (!place?.hidden) return;
    field("suite").value = "";
    show();
    place.scrollIntoView();
  }

  function recall() {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return goTo(document.getElementById(hash));
    const words = new URLSearchParams(hash);
    for (const name of fields) {
      field(name).value = words.get(name) ?? defaults[name];
      if (field(name).value === "" && defaults[name]) field(name).value = defaults[name];
    }
    sorts.clear();
    words.getAll("sort").forEach(readSort);
    show();
  }

  function press(event) {
    const button = event.target.closest("thead button");
    if (!button) return;
    const [head, table] = [button.closest("th"), button.closest("table")];
    const now = head.getAttribute("aria-sort");
    const direction = !now ? head.dataset.first : now === "ascending" ? "descending" : "ascending";
    sorts.set(table.dataset.key, { column: head.dataset.column, direction });
    sort(table);
    remember();
    said.textContent = `Sorted by ${button.textContent}, ${direction}`;
  }

  for (const head of find("thead th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
  }
  document.documentElement.classList.add("js");
  document.addEventListener("click", press);
  form.addEventListener("submit", (event) => event.preventDefault());
  // A search field says each letter as "input"; a list says its choice as "change", in every browser.
  field("q").addEventListener("input", () => { show(); remember(); });
  form.addEventListener("change", (event) => {
    if (event.target !== field("q")) { show(); remember(); }
  });
  form.addEventListener("reset", () => setTimeout(() => { sorts.clear(); show(); remember(); }));
  addEventListener("hashchange", recall);
  form.hidden = false;
  recall();
  if (location.hash && !location.hash.includes("=")) show();
})();
