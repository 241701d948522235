(() => {
  const body = document.querySelector("tbody"), rows = [...body.rows], one = id => document.getElementById(id);
  const filter = () => {
    const words = one("words").value.toLowerCase().split(/\s+/), status = one("status").value, state = one("state").value;
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(words.every(w => text.includes(w)) && (!status || row.dataset.status === status) && (!state || row.dataset.state === state));
      shown += row.hidden ? 0 : 1;
    }
    one("nothing").hidden = shown > 0;
  };
  one("filter").addEventListener("submit", event => event.preventDefault());
  for (const kind of ["input", "change"]) one("filter").addEventListener(kind, filter);
  for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
    const head = button.closest("th"), down = head.getAttribute("aria-sort") !== "descending", key = button.dataset.key;
    for (const other of document.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const number = ["day", "week", "month"].includes(key);
    rows.sort((a, b) => (down ? -1 : 1) * (number ? a.dataset[key] - b.dataset[key] : a.dataset[key].localeCompare(b.dataset[key])));
    body.append(...rows);
  });
  addEventListener("keydown", event => {
    if (event.key === "/" && document.activeElement !== one("words")) { event.preventDefault(); one("words").focus(); }
    if (event.key === "Escape") { one("words").value = ""; filter(); }
  });
})();
