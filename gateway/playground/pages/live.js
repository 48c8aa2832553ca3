// Shows the counts of a ballot as they change, by server-sent events. Nothing is loaded from elsewhere.
(function () {
  'use strict';
  var endpoint = document.querySelector('meta[name="graphql-endpoint"]').content;
  var ballot = new URLSearchParams(location.search).get('ballot') || 'main';
  var most = 40; // bars; of a ballot with more candidates the first ones by votes
  var bars = document.getElementById('bars');
  var state = document.getElementById('state');
  var counts = new Map();
  var source;

  document.getElementById('ballot').textContent = ballot;

  function bar(name, votes, longest) {
    var row = document.createElement('div');
    row.className = 'bar';
    var label = document.createElement('span');
    label.textContent = name;
    var track = document.createElement('span');
    track.className = 'track';
    var filled = document.createElement('span');
    filled.style.width = (longest > 0 ? (100 * votes) / longest : 0) + '%';
    track.appendChild(filled);
    var number = document.createElement('span');
    number.textContent = votes;
    row.append(label, track, number);
    return row;
  }

  function draw() {
    var list = Array.from(counts);
    if (list.length > most) {
      list.sort(function (a, b) { return b[1] - a[1] || (a[0] < b[0] ? -1 : 1); });
      list.length = most;
    }
    var longest = list.reduce(function (n, one) { return Math.max(n, one[1]); }, 0);
    bars.replaceChildren.apply(bars, list.map(function (one) { return bar(one[0], one[1], longest); }));
  }

  function next(event) {
    var answer = JSON.parse(event.data);
    if (answer.errors) {
      state.textContent = answer.errors[0].message;
      return;
    }
    var tally = answer.data.tally;
    if (tally.snapshot) counts.clear();
    tally.counts.forEach(function (count) { counts.set(count.username, Number(count.votesExact)); });
    state.textContent = (tally.stale ? 'May lack the latest votes, as of ' : 'As of ') + tally.asOf;
    draw();
  }

  // A browser connects again by itself, unless it was told that nothing follows.
  function connect() {
    var query = 'subscription($ballot: ID) { tally(ballot: $ballot) { snapshot stale asOf counts { username votesExact } } }';
    source = new EventSource(endpoint + '?' + new URLSearchParams({ query: query, variables: JSON.stringify({ ballot: ballot }) }));
    source.addEventListener('next', next);
    source.addEventListener('complete', function () { source.close(); });
    source.onerror = function () {
      state.textContent = 'Connecting …';
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
    };
  }

  connect();
})();
