// Counts down to the moment that [data-until] names. Without it the page says “an hour”.
(() => {
  "use strict";

  const left = (until) => {
    const seconds = Math.max(0, Math.floor((Date.parse(until) - Date.now()) / 1000));
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    if (parts[0] === 0) parts.shift();
    return parts.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
  };

  const tell = () => {
    for (const element of document.querySelectorAll("[data-until]")) {
      element.textContent = left(element.dataset.until);
    }
  };

  tell();
  setInterval(tell, 1000);
  document.addEventListener("htmx:load", tell);
})();
