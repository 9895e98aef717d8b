(() => {
  "use strict";
  const menu = document.currentScript.closest(".peel-menu");
  const remembered = "peel-menu";
  const form = menu.closest("form");

  // Who uses a list means it: its radio button follows.
  for (const list of menu.querySelectorAll(".peel-behind select")) {
    const radio = list.closest(".peel-behind").querySelector("input");
    list.addEventListener("change", () => { radio.checked = true; });
    if (list.options.length > 12) { list.before(searchOf(list, radio)); }
  }

  function searchOf(list, radio) {
    const all = Array.from(list.querySelectorAll("optgroup"), (group) => [group, Array.from(group.children)]);
    const search = document.createElement("input");
    search.type = "search";
    search.placeholder = "Search " + list.options.length + " images";
    search.setAttribute("aria-label", "Search: " + list.getAttribute("aria-label"));
    search.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); list.focus(); } });
    search.addEventListener("input", () => {
      const words = search.value.toLowerCase().split(/\s+/);
      const fits = (option) => words.every((word) => (option.text + " " + option.value).toLowerCase().includes(word));
      for (const [group, options] of all) { group.replaceChildren(...options.filter(fits)); }
      radio.checked = list.options.length > 0;
    });
    return search;
  }

  // What was started last is chosen again, should it still be offered.
  try {
    const last = JSON.parse(localStorage.getItem(remembered) || "{}");
    for (const [name, value] of Object.entries(last)) {
      for (const input of menu.querySelectorAll("input[type=radio], select")) {
        if (input.name !== name) { continue; }
        if (input.tagName === "SELECT") {
          if (Array.from(input.options).some((option) => option.value === value)) { input.value = value; }
        } else if (input.value === value) { input.checked = true; }
      }
    }
    if (form) {
      form.addEventListener("submit", () => {
        const chosen = {};
        for (const input of menu.querySelectorAll("input[type=radio]:checked")) { chosen[input.name] = input.value; }
        const behind = menu.querySelector(".peel-behind:has(input:checked) select");
        if (behind) { chosen[behind.name] = behind.value; }
        localStorage.setItem(remembered, JSON.stringify(chosen));
      });
    }
  } catch (error) { /* a browser that keeps nothing forgets the choice */ }
})();
