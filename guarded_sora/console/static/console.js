// Hotkeys, veils and the frame player. Every page works without it, only less comfortably.
"use strict";
(() => {
  const typing = (target) => target instanceof Element && target.closest("input:not([type=radio]):not([type=checkbox]):not([type=range]), select, textarea");
  const see = (on) => document.body.classList.toggle("seeing", on);

  // Hold u, or press and hold a veil; letting go, or leaving the window, hides it again.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target)) { if (event.key === "Escape") event.target.blur(); return; }
    if (event.key === "u") { see(true); event.preventDefault(); return; }
    if (event.key === "j" || event.key === "k") { step(event.key === "j" ? 1 : -1); event.preventDefault(); return; }
    const target = document.querySelector(`[data-k="${CSS.escape(event.key)}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.matches("input[type=radio]")) { target.checked = true; target.focus(); }
    else if (target.matches("input")) target.focus();
    else if (target.form) target.form.requestSubmit(target);
  });
  document.addEventListener("keyup", (event) => { if (event.key === "u") see(false); });
  window.addEventListener("blur", () => see(false));
  document.addEventListener("pointerdown", (event) => { if (event.target.closest("[data-veil]") && !event.target.closest(".strip")) see(true); });
  for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => see(false));

  // j and k: rows of a list, or frames of a film.
  function step(by) {
    const scrub = document.querySelector("[data-player] input[type=range]");
    if (scrub) { scrub.value = Number(scrub.value) + by; scrub.dispatchEvent(new Event("input", { bubbles: true })); return; }
    const rows = [...document.querySelectorAll("a.row")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by))].focus();
  }

  function player(box) {
    const { sheet, columns, count, width, height, seconds } = box.dataset;
    const [screen, strip, scrub, clock] = [box.querySelector("canvas"), box.querySelector(".strip"), box.querySelector("input"), box.querySelector("output")];
    const image = new Image();
    const cell = (canvas, index) => canvas.getContext("2d").drawImage(image, (index % columns) * width, Math.floor(index / columns) * height, width, height, 0, 0, canvas.width, canvas.height);
    const show = () => {
      const index = Number(scrub.value);
      cell(screen, index);
      clock.textContent = `${(seconds * index / Math.max(1, count - 1)).toFixed(1)} s`;
      strip.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.at) === index)));
    };
    image.onload = () => {
      const shown = Math.min(12, count);
      for (let place = 0; place < shown; place += 1) {
        const at = Math.round(place * (count - 1) / Math.max(1, shown - 1));
        const button = document.createElement("button");
        const canvas = document.createElement("canvas");
        canvas.width = 160; canvas.height = Math.round(160 * height / width);
        button.type = "button"; button.dataset.at = at; button.setAttribute("aria-label", `Frame ${at + 1} of ${count}`);
        button.append(canvas); cell(canvas, at); strip.append(button);
        button.addEventListener("click", () => { scrub.value = at; show(); });
      }
      show();
    };
    scrub.addEventListener("input", show);
    image.src = sheet;
  }

  // The secret of the one-time link stands behind the # and goes into the form, not into any log.
  function fromHash(form) {
    if (location.hash.length > 1) { form.elements.link.value = location.href; history.replaceState(null, "", location.pathname); }
  }

  function drop(form) {
    const input = form.querySelector("input[type=file]");
    for (const name of ["dragenter", "dragover"]) form.addEventListener(name, (event) => { event.preventDefault(); form.classList.add("over"); });
    for (const name of ["dragleave", "drop"]) form.addEventListener(name, () => form.classList.remove("over"));
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) { input.files = event.dataTransfer.files; form.requestSubmit(); }
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-player]").forEach(player);
    document.querySelectorAll("[data-from-hash]").forEach(fromHash);
    document.querySelectorAll("[data-drop]").forEach(drop);
    const said = new URLSearchParams(location.search);
    if (said.get("done")) {
      document.getElementById("said").textContent = `Case ${said.get("done").slice(0, 8)}…: ${said.get("as")}`;
      history.replaceState(null, "", location.pathname);
    }
  });
})();
