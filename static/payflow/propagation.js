// The card that shows where a version has arrived: it fetches itself anew while something is awaited.
(function () {
  "use strict";

  var LOST_S = 5;

  function follow() {
    var box = document.querySelector("[data-propagation]");
    if (!box || !box.dataset.every) return;
    setTimeout(refresh, Number(box.dataset.every) * 1000, box);
  }

  function refresh(box) {
    if (document.hidden) {
      document.addEventListener("visibilitychange", refresh.bind(null, box), { once: true });
      return;
    }
    fetch(box.dataset.propagation, { credentials: "same-origin", cache: "no-store", redirect: "error" })
      .then(function (response) {
        if (!response.ok) throw new Error(response.status);
        return response.text();
      })
      .then(function (html) {
        show(box, html);
        follow();
      })
      .catch(function () {
        setTimeout(refresh, LOST_S * 1000, box);
      });
  }

  // whoever stands on a link goes on standing there; nothing is said anew that has not changed
  function show(box, html) {
    var card = box.closest(".pf-card");
    var fresh = new DOMParser().parseFromString(html, "text/html").querySelector(".pf-card");
    var focused = card.contains(document.activeElement) ? document.activeElement.href : "";
    card.replaceWith(fresh);
    if (!focused) return;
    Array.from(fresh.querySelectorAll("a")).some(function (link) {
      if (link.href !== focused) return false;
      link.focus({ preventScroll: true });
      return true;
    });
  }

  follow();
})();
