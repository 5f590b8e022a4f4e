// The editor of a version: YAML in colour with line numbers over a plain textarea, and what is wrong
// with it as it is typed. Without this script the textarea and the forms work as they are.
(function () {
  "use strict";

  var WAIT_MS = 500;

  // --- colours -----------------------------------------------------------------------------------

  var KEY = /^(\s*(?:- )*)("[^"]*"|'[^']*'|[^\s#'"[\]{},&*!|>%@-][^#:]*?|-?[A-Za-z_$][^#:]*?)(\s*:)(?=\s|$)/;
  var TOKEN = /((?<![\w.])(?:"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?))|(\s#.*$|^#.*$)|([A-Za-z_$][\w$.-]*)(?=\s*:(?:\s|$))|(-?\b\d[\d_.]*(?:e[+-]?\d+)?\b|\b(?:true|false|null)\b)|([[\]{},:|>&*]|^\s*-\s)/gi;

  function piece(kind, text) {
    if (!kind) return document.createTextNode(text);
    var span = document.createElement("span");
    span.className = kind;
    span.textContent = text;
    return span;
  }

  // lines of texts that go on over several: behind `key: >` and `key: |`, and deeper than the key
  function folded(lines) {
    var depth = -1;
    return lines.map(function (line) {
      var indent = /^\s*(?:- )*/.exec(line)[0].length;
      if (depth >= 0 && (!line.trim() || /^\s*/.exec(line)[0].length > depth)) return true;
      depth = /[:-]\s+[|>][+-]?\d?\s*(?:#.*)?$/.test(line) ? indent : -1;
      return false;
    });
  }

  function paint(line, into, isText) {
    into.replaceChildren();
    if (isText) {
      into.append(piece("s", line || "\u200b"));
      return;
    }
    var key = KEY.exec(line);
    var rest = line;
    if (key && line.trim()[0] !== "#") {
      into.append(piece("", key[1]), piece("k", key[2]), piece("p", key[3]));
      rest = line.slice(key[0].length);
    }
    var at = 0;
    rest.replace(TOKEN, function (whole, text, comment, name, number, mark, offset) {
      if (offset > at) into.append(piece("", rest.slice(at, offset)));
      into.append(piece(text ? "s" : comment ? "c" : name ? "k" : number ? "d" : "p", whole));
      at = offset + whole.length;
      return whole;
    });
    if (at < rest.length || !into.firstChild) into.append(piece("", rest.slice(at) || "\u200b"));
  }

  document.querySelectorAll("[data-yaml-lines]").forEach(function (box) {
    var lines = Array.from(box.querySelectorAll(".ln > .c"));
    var isText = folded(lines.map((line) => line.textContent));
    lines.forEach(function (line, at) {
      paint(line.textContent, line, isText[at]);
    });
  });

  // --- the text area and the lines under it ------------------------------------------------------

  function yaml(box) {
    var area = box.querySelector("textarea");
    var code = box.querySelector(".pf-ed-c");
    var numbers = box.querySelector(".pf-ed-n");
    var shown = [];

    function draw() {
      var lines = area.value.split("\n");
      var isText = folded(lines);
      lines.forEach(function (line, at) {
        if (!code.children[at]) {
          code.append(document.createElement("div"));
          numbers.append(piece("n", String(at + 1)));
        }
        var kind = isText[at] ? "t" : "y";
        if (shown[at] !== kind + line) paint(line, code.children[at], isText[at]);
        shown[at] = kind + line;
      });
      while (code.children.length > lines.length) {
        code.lastChild.remove();
        numbers.lastChild.remove();
      }
      shown.length = lines.length;
    }

    // a new line begins where the one before it does
    area.addEventListener("keydown", function (event) {
      if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
      var line = area.value.slice(0, area.selectionStart).split("\n").pop();
      var indent = /^\s*/.exec(line)[0] + (/:\s*$/.test(line) ? "  " : "");
      if (indent && document.execCommand("insertText", false, "\n" + indent)) event.preventDefault();
    });
    area.addEventListener("input", draw);
    box.classList.add("on");
    draw();

    return {
      mark: function (problems) {
        var wrong = {};
        problems.forEach(function (problem) {
          if (problem.line) wrong[problem.line] = (wrong[problem.line] || []).concat(problem.message);
        });
        Array.from(code.children).forEach(function (line, at) {
          line.classList.toggle("bad", Boolean(wrong[at + 1]));
          numbers.children[at].classList.toggle("bad", Boolean(wrong[at + 1]));
          numbers.children[at].title = (wrong[at + 1] || []).join("\n");
        });
      },
      go: function (line) {
        var before = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
        area.focus();
        area.setSelectionRange(before, before);
        code.children[line - 1].scrollIntoView({ block: "center" });
      },
    };
  }

  // --- what is wrong -----------------------------------------------------------------------------

  function words(problem) {
    var where = [problem.line ? "line " + problem.line : "", problem.pointer].filter(Boolean).join(", ");
    return where ? where + ": " + problem.message : problem.message;
  }

  function mistake(tag, text) {
    var item = document.createElement(tag);
    var icon = piece("pf-i", "error");
    icon.setAttribute("aria-hidden", "true");
    item.append(icon, piece("g", text));
    return item;
  }

  function editor(form) {
    var state = form.querySelector("[data-state]");
    var list = form.querySelector("[data-problems]");
    var box = form.querySelector("[data-yaml]");
    var lines = box ? yaml(box) : null;
    var first = JSON.stringify(values());
    var dirty = form.hasAttribute("data-dirty");
    var timer = null;
    var asked = 0;
    var isAsking = false;
    var isLate = false;

    function values() {
      return Array.from(new FormData(form)).filter(function (entry) {
        return entry[0] !== "csrfmiddlewaretoken";
      });
    }

    function say(text, kind) {
      state.textContent = text;
      state.className = kind ? "pf-t-" + kind : "";
    }

    function show(problems) {
      form.querySelectorAll("[data-errors]").forEach(function (cell) {
        cell.replaceChildren();
      });
      list.replaceChildren();
      problems.forEach(function (problem) {
        var row = problem.row && form.querySelector('[data-row="' + problem.row + '"] [data-errors]');
        if (row) {
          var note = mistake("p", problem.message);
          note.className = "pf-err";
          row.append(note);
        } else {
          var item = mistake("li", words(problem));
          item.dataset.line = problem.line;
          list.append(item);
        }
      });
      if (lines) lines.mark(problems);
      var wrong = problems.length === 1 ? "1 mistake" : problems.length + " mistakes";
      var unsaved = dirty ? "Not saved yet, " : "Saved, ";
      say(unsaved + (problems.length ? wrong : "valid"), problems.length ? "bad" : "ok");
    }

    // one question at a time: trying a rule set takes its time, and nobody waits for old answers
    function check() {
      isLate = isAsking;
      if (isAsking) return;
      isAsking = true;
      var number = ++asked;
      say("Checking…");
      fetch(form.dataset.check, {
        method: "POST",
        body: new FormData(form),
        credentials: "same-origin",
        redirect: "error",
      })
        .then(function (response) {
          if (!response.ok) throw new Error(response.status);
          return response.json();
        })
        .then(function (answer) {
          if (number === asked) show(answer.problems);
        })
        .catch(function () {
          if (number === asked) say("Could not be checked; saving checks it too", "warn");
        })
        .then(function () {
          isAsking = false;
          if (isLate) check();
        });
    }

    form.addEventListener("input", function () {
      dirty = JSON.stringify(values()) !== first;
      asked++;
      say(dirty ? "Not saved yet" : "Saved");
      clearTimeout(timer);
      timer = setTimeout(check, WAIT_MS);
    });
    form.addEventListener("submit", function () {
      dirty = false;
    });
    form.addEventListener("keydown", function (event) {
      if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      form.requestSubmit();
    });
    list.addEventListener("click", function (event) {
      var item = event.target.closest("[data-line]");
      if (lines && item && Number(item.dataset.line)) lines.go(Number(item.dataset.line));
    });
    window.addEventListener("beforeunload", function (event) {
      if (dirty) event.preventDefault();
    });
    if (lines) {
      lines.mark(
        Array.from(list.querySelectorAll("[data-line]")).map(function (item) {
          return { line: Number(item.dataset.line), message: item.textContent };
        })
      );
    }
  }

  document.querySelectorAll("[data-editor]").forEach(editor);

  // --- lists of rules: only those that have the words --------------------------------------------

  document.querySelectorAll("[data-find]").forEach(function (input) {
    var card = input.closest(".pf-card");
    var rows = Array.from(card.querySelectorAll("[data-found] tbody tr"));
    input.addEventListener("input", function () {
      var words = input.value.toLowerCase().split(/\s+/);
      var found = 0;
      rows.forEach(function (row) {
        var text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        found += row.hidden ? 0 : 1;
      });
      card.querySelector("[data-none]").hidden = found > 0;
    });
  });

  // --- comparing: the second choice is in the address --------------------------------------------

  document.querySelectorAll("[data-go]").forEach(function (form) {
    var to = form.querySelector("[data-to]");
    to.addEventListener("change", function () {
      form.action = to.value;
    });
    form.addEventListener("change", function () {
      form.requestSubmit();
    });
  });
})();
