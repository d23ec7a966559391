// Copy buttons, toasts and times in the reader's zone. Every page works without this file.
(() => {
  "use strict";

  const copyText = async (text) => {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return;
    }
    // Plain http on a local network has no clipboard API.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) throw new Error("not copied");
  };

  // Heard by screen readers: a button's changed label alone is not.
  const announce = (words) => {
    const line = document.createElement("p");
    line.className = "visually-hidden";
    line.textContent = words;
    document.getElementById("toast").append(line);
    setTimeout(() => line.remove(), 2000);
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-label]") || button;
    const before = button.dataset.before || label.textContent;
    button.dataset.before = before;
    try {
      await copyText(source.dataset.text || source.textContent.trimEnd());
      label.textContent = "Copied";
      button.dataset.state = "done";
      announce("Copied");
    } catch {
      window.getSelection().selectAllChildren(source);
      label.textContent = "Press Ctrl+C";
    }
    clearTimeout(button.timer);
    button.timer = setTimeout(() => {
      label.textContent = before;
      delete button.dataset.state;
    }, 2000);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-dismiss], [data-print]");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    else if ("print" in button.dataset) window.print();
    else button.closest("[data-toast]").remove();
  });

  const day = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
  });

  const localise = (root) => {
    for (const time of root.querySelectorAll("time[datetime*='T']:not([title])")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      time.title = time.textContent.trim();
      time.textContent = day.format(moment);
    }
  };

  const expireToasts = (root) => {
    for (const toast of root.querySelectorAll("[data-toast]:not([data-toast='error'])")) {
      setTimeout(() => toast.remove(), 8000);
    }
  };

  const prepare = (root) => {
    localise(root);
    expireToasts(root);
  };

  prepare(document);
  document.addEventListener("htmx:load", (event) => prepare(event.target.parentNode || document));

  // What never reached the server has no answer to swap in.
  document.addEventListener("htmx:sendError", () => {
    const toast = document.getElementById("toast");
    const line = document.createElement("p");
    line.className = "toast toast-error";
    line.dataset.toast = "";
    line.textContent = "The server did not answer. Check your connection and try again.";
    toast.replaceChildren(line);
    expireToasts(toast);
  });
})();
