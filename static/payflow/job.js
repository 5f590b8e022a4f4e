// A job that is not over: fetch how far it is, and load the page anew when it has ended.
(function () {
  "use strict";

  var EVERY_MS = 1000;

  function follow(box) {
    function refresh() {
      fetch(box.dataset.job, { credentials: "same-origin", cache: "no-store", redirect: "error" })
        .then(function (response) {
          if (!response.ok) throw new Error(response.status);
          return response.text();
        })
        .then(function (html) {
          var fresh = new DOMParser().parseFromString(html, "text/html").body;
          if (fresh.querySelector("[data-over]")) {
            window.location.reload();
            return;
          }
          box.replaceChildren.apply(box, fresh.childNodes);
          setTimeout(refresh, EVERY_MS);
        })
        .catch(function () {
          setTimeout(refresh, 5 * EVERY_MS);
        });
    }
    setTimeout(refresh, EVERY_MS);
  }

  document.querySelectorAll("[data-job]").forEach(follow);
})();
