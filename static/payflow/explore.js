// Explore: find a metric while typing, close the picker, copy the link.
(function () {
  "use strict";

  // --- picker ------------------------------------------------------------------------------------

  function picker(box) {
    var input = box.querySelector("[data-pick]");
    var items = Array.from(box.querySelectorAll("[data-pick-item]"));
    var groups = box.querySelectorAll("[data-pick-group]");
    var none = box.querySelector("[data-pick-none]");

    function find() {
      var words = input.value.toLowerCase().split(/[\s_]+/).filter(Boolean);
      items.forEach(function (item) {
        var text = item.textContent.toLowerCase();
        item.hidden = !words.every(function (word) { return text.includes(word); });
      });
      groups.forEach(function (group) {
        group.hidden = !group.querySelector("[data-pick-item]:not([hidden])");
      });
      none.hidden = items.some(function (item) { return !item.hidden; });
    }

    function close() {
      box.open = false;
    }

    // told some moments after the click: what was typed meanwhile must stay
    box.addEventListener("toggle", function () {
      if (box.open) {
        input.focus();
      } else {
        input.value = "";
        find();
      }
    });
    input.addEventListener("input", find);
    box.addEventListener("keydown", function (event) {
      var shown = items.filter(function (item) { return !item.hidden; });
      var links = shown.map(function (item) { return item.querySelector("a"); });
      var at = links.indexOf(document.activeElement);
      if (event.key === "Escape") {
        close();
        box.querySelector("summary").focus();
      } else if (event.key === "Enter" && document.activeElement === input) {
        if (links.length) links[0].click();
      } else if (event.key === "ArrowDown" && at + 1 < links.length) links[at + 1].focus();
      else if (event.key === "ArrowUp" && at > 0) links[at - 1].focus();
      else if (event.key === "ArrowUp") input.focus();
      else return;
      event.preventDefault();
    });
    document.addEventListener("click", function (event) {
      if (!box.contains(event.target)) close();
    });
  }

  // --- copy --------------------------------------------------------------------------------------

  function copyByHand(text) {
    var area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    var done = document.execCommand("copy");
    area.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("not copied"));
  }

  function copies(button) {
    var label = button.querySelector("[data-copy-text]");
    var before = label.textContent;
    button.addEventListener("click", function () {
      var text = button.dataset.copy;
      // the clipboard is there on secure pages only
      (navigator.clipboard ? navigator.clipboard.writeText(text) : copyByHand(text))
        .then(function () { label.textContent = "Link copied"; })
        .catch(function () { window.prompt("Copy this link", text); })
        .then(function () { setTimeout(function () { label.textContent = before; }, 2500); });
    });
  }

  // --- form: the address holds choices only ------------------------------------------------------

  function shortAddress(form) {
    form.addEventListener("submit", function () {
      form.querySelectorAll("input, select").forEach(function (field) {
        if (!field.value) field.disabled = true;
      });
    });
    window.addEventListener("pageshow", function () {
      form.querySelectorAll(":disabled").forEach(function (field) { field.disabled = false; });
    });
  }

  document.querySelectorAll(".pf-x-pick").forEach(picker);
  document.querySelectorAll("[data-copy]").forEach(copies);
  document.querySelectorAll(".pf-x-form").forEach(shortAddress);
})();
