// Sources: the test of a connection shows its steps in the page; a new source begins with an example;
// a seek follows what is written.
(function () {
  "use strict";

  // --- test a connection: without this script the same form leads to a page of its own ---

  function testing(element) {
    var isButton = element.tagName === "BUTTON";
    var form = isButton ? element.form : element;
    var button = isButton ? element : element.querySelector("button");
    form.addEventListener("submit", function (event) {
      if (isButton && event.submitter !== button) return;
      event.preventDefault();
      run(button, isButton ? button.formAction : form.action, new FormData(form));
    });
  }

  function run(button, address, sent) {
    var box = document.getElementById("tested");
    var label = button.querySelector("span:last-child");
    var says = label.textContent;
    button.disabled = true;
    label.textContent = button.dataset.busy;
    box.textContent = "";
    fetch(address, {
      method: "POST",
      body: sent,
      credentials: "same-origin",
      redirect: "error",
      headers: { "X-Requested-With": "fetch" },
    })
      .then(function (response) {
        if (!response.ok) throw new Error(response.status);
        return response.text();
      })
      .then(function (html) {
        var fresh = new DOMParser().parseFromString(html, "text/html").body;
        box.replaceChildren.apply(box, fresh.childNodes);
      })
      .catch(function () {
        box.textContent = "payflow did not answer, or your login has ended: nothing was tested.";
      })
      .then(function () {
        button.disabled = false;
        label.textContent = says;
        box.scrollIntoView({ block: "nearest" });
      });
  }

  // --- a new source: the example of the chosen broker, unless something was written ---

  function examples(select) {
    var text = document.getElementById("settings");
    var known = {};
    document.querySelectorAll("[data-example]").forEach(function (box) {
      known[box.dataset.example] = box.textContent;
    });
    select.addEventListener("change", function () {
      var written = text.value.trim();
      var isExample = Object.keys(known).some(function (name) {
        return known[name].trim() === written;
      });
      if (!written || isExample) text.value = known[select.value] || "";
    });
  }

  // --- a seek: who writes a time or a position means that choice ---

  function chosenBy(box) {
    box.addEventListener("input", function () {
      document.querySelector('input[name="to"][value="' + box.dataset.chosenBy + '"]').checked = true;
    });
  }

  document.querySelectorAll("[data-chosen-by]").forEach(chosenBy);
  document.querySelectorAll("[data-test]").forEach(testing);
  document.querySelectorAll("[data-examples]").forEach(examples);
})();
