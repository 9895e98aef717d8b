"use strict";
// The search: every packages/search*.js hands over its part of [name, place, versions].
const known = [];
function peelPackages(part) { for (const entry of part) known.push(entry); }
addEventListener("DOMContentLoaded", () => {
  const most = 100;
  const form = document.getElementById("search");
  const query = document.getElementById("query");
  const found = document.getElementById("found");
  const hits = document.getElementById("hits");
  function rank(name, word) { return name === word ? 0 : name.startsWith(word) ? 1 : 2; }
  function show() {
    const [word = "", version = ""] = query.value.trim().toLowerCase().split(/\s+/);
    hits.replaceChildren();
    if (!word) { found.textContent = ""; return; }
    const matches = known.filter(([name, , versions]) => name.toLowerCase().includes(word)
      && (!version || versions.split(" ").some((one) => one.startsWith(version))));
    matches.sort((a, b) => rank(a[0].toLowerCase(), word) - rank(b[0].toLowerCase(), word));
    for (const [name, place, versions] of matches.slice(0, most)) {
      const link = document.createElement("a");
      link.href = place;
      link.textContent = name;
      const item = document.createElement("li");
      const all = versions.split(" ");
      item.append(link, " " + all.slice(0, 8).join(", ") + (all.length > 8 ? " and " + (all.length - 8) + " more" : ""));
      hits.append(item);
    }
    const more = matches.length > most ? ", the first " + most + " are shown" : "";
    found.textContent = (matches.length === 1 ? "1 package" : matches.length + " packages") + more;
  }
  query.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const first = hits.querySelector("a");
    if (first) first.click();
  });
  form.hidden = false;
  show();
});
