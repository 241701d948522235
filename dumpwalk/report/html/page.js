// Search, fold and copy. The page says everything without it.
(function () {
  'use strict';
  var all = function (where, what) { return Array.prototype.slice.call(where.querySelectorAll(what)); };

  // Links to something folded: unfold it, then go there.
  function reveal() {
    var id = decodeURIComponent(location.hash.slice(1));
    var target = id && document.getElementById(id);
    if (!target) return;
    for (var part = target; part; part = part.parentElement) {
      if (part.tagName === 'DETAILS') part.open = true;
      part.hidden = false;
    }
    target.scrollIntoView();
  }
  window.addEventListener('hashchange', reveal);
  document.addEventListener('click', function (event) {
    var link = event.target.closest && event.target.closest('a[href^="#"], svg a');
    var to = link && link.getAttribute('href');
    if (to && to === location.hash) reveal();
  });
  reveal();

  // Printed: everything unfolded, and folded again as it was.
  var folded = [];
  window.addEventListener('beforeprint', function () {
    folded = all(document, 'details:not([open])');
    folded.forEach(function (part) { part.open = true; });
  });
  window.addEventListener('afterprint', function () {
    folded.forEach(function (part) { part.open = false; });
    folded = [];
  });

  all(document, '.stacks').forEach(function (section) {
    var tools = section.querySelector('.tools');
    var input = tools.querySelector('input');
    var said = tools.querySelector('output');
    var groups = all(section, 'details.group');
    var texts = [];
    tools.hidden = false;
    tools.querySelector('.unfold').addEventListener('click', function () { groups.forEach(function (g) { g.open = true; }); });
    tools.querySelector('.fold').addEventListener('click', function () { groups.forEach(function (g) { g.open = false; }); });

    function lower(part) { return part.textContent.toLowerCase().replace(/\s+/g, ' '); }

    function search() {
      var words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      var hits = 0, threads = 0;
      groups.forEach(function (group, i) {
        if (!texts[i]) texts[i] = lower(group);
        var found = words.every(function (word) { return texts[i].indexOf(word) >= 0; });
        group.hidden = !found;
        if (found) { hits += 1; threads += Number(group.getAttribute('data-count')); }
        all(group, '.hit').forEach(function (row) { row.classList.remove('hit'); });
        if (found && words.length) {
          all(group, 'tbody tr').forEach(function (row) {
            var text = lower(row);
            if (words.some(function (word) { return text.indexOf(word) >= 0; })) row.classList.add('hit');
          });
        }
      });
      said.textContent = words.length
        ? hits + ' of ' + groups.length + (groups.length === 1 ? ' group, ' : ' groups, ') + threads + (threads === 1 ? ' thread' : ' threads')
        : '';
    }
    input.addEventListener('input', search);
    input.addEventListener('keydown', function (event) {
      if (event.key === 'Escape') { input.value = ''; search(); }
    });
    search();
  });

  function copied(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    var area = document.createElement('textarea');
    area.value = text;
    area.className = 'vh';
    document.body.appendChild(area);
    area.select();
    var done = document.execCommand('copy');
    area.remove();
    return done ? Promise.resolve() : Promise.reject(new Error('copy'));
  }
  all(document, '.scripted').forEach(function (part) { part.hidden = false; });
  var status = document.getElementById('copied');
  all(document, '[data-copy]').forEach(function (code) {
    var button = document.createElement('button');
    var what = code.getAttribute('data-copy');
    button.type = 'button';
    button.className = 'copy';
    button.textContent = 'Copy';
    button.setAttribute('aria-label', 'Copy: ' + (what || code.textContent).slice(0, 120));
    button.addEventListener('click', function () {
      copied(what || code.textContent).then(function () {
        button.textContent = 'Copied';
        status.textContent = 'Copied';
      }, function () {
        button.textContent = 'Press Ctrl+C';
        window.getSelection().selectAllChildren(code);
      }).then(function () {
        setTimeout(function () { button.textContent = 'Copy'; status.textContent = ''; }, 1600);
      });
    });
    code.insertAdjacentElement('afterend', button);
  });
})();
