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
    all(document, 'tr.folded').forEach(function (row) { row.show(true); });
  });
  window.addEventListener('afterprint', function () {
    folded.forEach(function (part) { part.open = false; });
    all(document, 'tr.folded').forEach(function (row) { row.show(false); });
    folded = [];
  });

  // Framework methods between the program's own: folded where there are several in a row.
  var FOLDED = 3;
  all(document, '.frames tbody').forEach(function (body) {
    var run = [];
    function fold() {
      if (run.length >= FOLDED && body.querySelector('tr.own')) {
        var rows = run.slice(), row = document.createElement('tr'), cell = document.createElement('td');
        var button = document.createElement('button');
        row.className = 'folded';
        cell.colSpan = 4;
        button.type = 'button';
        row.appendChild(cell);
        cell.appendChild(button);
        row.show = function (open) {
          rows.forEach(function (part) { part.hidden = !open; });
          button.setAttribute('aria-expanded', String(open));
          button.textContent = (open ? 'Fold ' : 'Show ') + rows.length + ' frames of the framework';
        };
        button.addEventListener('click', function () { row.show(rows[0].hidden); });
        row.show(false);
        body.insertBefore(row, rows[0]);
      }
      run = [];
    }
    all(body, 'tr').forEach(function (row) {
      if (row.classList.contains('framework')) run.push(row); else fold();
    });
    fold();
  });

  // Search: one field for the whole page, and one beside each list of stacks.
  function lower(part) { return part.textContent.toLowerCase().replace(/\s+/g, ' '); }
  function counted(number, one, many) { return number + ' ' + (number === 1 ? one : many); }
  var lists = all(document, '.stacks').map(function (section) {
    var tools = section.querySelector('.tools');
    var input = tools.querySelector('input');
    var said = tools.querySelector('output');
    var groups = all(section, 'details.group');
    var texts = [];
    tools.hidden = false;
    tools.querySelector('.unfold').addEventListener('click', function () { groups.forEach(function (g) { g.open = true; }); });
    tools.querySelector('.fold').addEventListener('click', function () { groups.forEach(function (g) { g.open = false; }); });

    function search() {
      var words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      var hits = 0, threads = 0, first = null;
      groups.forEach(function (group, i) {
        if (!texts[i]) texts[i] = lower(group);
        var found = words.every(function (word) { return texts[i].indexOf(word) >= 0; });
        group.hidden = !found;
        if (found) { hits += 1; threads += Number(group.getAttribute('data-count')); first = first || group; }
        all(group, '.hit').forEach(function (row) { row.classList.remove('hit'); });
        all(group, 'tr.folded').forEach(function (row) { row.show(found && words.length > 0); });
        if (found && words.length) {
          all(group, 'tbody tr').forEach(function (row) {
            var text = lower(row);
            if (words.some(function (word) { return text.indexOf(word) >= 0; })) row.classList.add('hit');
          });
        }
      });
      said.textContent = !words.length ? ''
        : hits ? hits + ' of ' + counted(groups.length, 'group', 'groups') + ', ' + counted(threads, 'thread', 'threads')
        : 'No stack has ' + (words.length > 1 ? 'all of these words' : 'this word') + '. Escape clears the search.';
      return {hits: hits, threads: threads, first: first, words: words.length};
    }
    input.addEventListener('input', search);
    input.addEventListener('keydown', function (event) {
      if (event.key === 'Escape') { input.value = ''; search(); }
    });
    search();
    return {set: function (value) { input.value = value; return search(); }};
  });
  var find = document.getElementById('find');
  var finder = find && find.parentElement;
  if (find && lists.length) {
    finder.hidden = false;
    var everywhere = function () {
      var hits = 0, threads = 0, first = null, words = 0;
      lists.forEach(function (list) {
        var got = list.set(find.value);
        hits += got.hits; threads += got.threads; words = got.words; first = first || got.first;
      });
      finder.querySelector('output').textContent = !words ? ''
        : hits ? counted(threads, 'thread', 'threads') + '. Enter goes there.' : 'No stack has it. Escape clears the search.';
      return first;
    };
    find.addEventListener('input', everywhere);
    find.addEventListener('keydown', function (event) {
      if (event.key === 'Escape') { find.value = ''; everywhere(); }
      if (event.key === 'Enter') {
        var first = everywhere();
        if (first && find.value) { first.open = true; first.scrollIntoView(); first.querySelector('summary').focus(); }
      }
    });
    document.addEventListener('keydown', function (event) {
      var at = document.activeElement;
      var typing = at && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName);
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      find.focus();
      find.select();
    });
  }

  // A drawing that is wider than its place says that it scrolls.
  function hints() {
    all(document, 'figure .wide').forEach(function (box) {
      var hint = box.previousElementSibling;
      if (hint && hint.classList.contains('hint')) hint.hidden = box.scrollWidth <= box.clientWidth + 1;
    });
  }
  window.addEventListener('resize', hints);
  hints();

  // A thread or lock that is pointed at lights its box and its arrows in the graph.
  all(document, 'svg.graph').forEach(function (svg) {
    var boxes = all(svg, '[data-node]'), edges = all(svg, '[data-edge]'), byAnchor = {}, lit = [];
    boxes.forEach(function (box) {
      box.getAttribute('data-anchors').split(' ').filter(Boolean).forEach(function (id) { byAnchor[id] = box; });
    });
    function light(box) {
      lit.forEach(function (part) { part.classList.remove('lit'); });
      lit = [];
      svg.classList.toggle('lit-one', !!box);
      if (!box) return;
      var mine = box.getAttribute('data-node').split(' ');
      lit = [box];
      edges.forEach(function (edge) {
        var ends = [].concat.apply([], edge.getAttribute('data-edge').split(' ').map(function (e) { return e.split('>'); }));
        if (!ends.some(function (end) { return mine.indexOf(end) >= 0; })) return;
        lit.push(edge);
        boxes.forEach(function (other) {
          if (other.getAttribute('data-node').split(' ').some(function (id) { return ends.indexOf(id) >= 0; })) lit.push(other);
        });
      });
      lit.forEach(function (part) { part.classList.add('lit'); });
    }
    function boxOf(target) {
      if (!target || !target.closest) return null;
      var box = target.closest('[data-node]');
      if (box) return svg.contains(box) ? box : null;
      var link = target.closest('a[href^="#"]');
      if (link) return byAnchor[link.getAttribute('href').slice(1)] || null;
      var row = target.closest('tr[id], details.group, .lock');
      return (row && byAnchor[row.id]) || null;
    }
    ['mouseover', 'focusin'].forEach(function (name) {
      document.addEventListener(name, function (event) { light(boxOf(event.target)); });
    });
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
