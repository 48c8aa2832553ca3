// Starts GraphiQL on this gateway's endpoint. Nothing is loaded from elsewhere.
(function () {
  'use strict';
  var endpoint = document.querySelector('meta[name="graphql-endpoint"]').content;

  // The answers of a subscription, out of the events of a stream.
  async function* answers(response) {
    var reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    var rest = '';
    try {
      for (;;) {
        var part = await reader.read();
        if (part.done) return;
        var events = (rest + part.value).split('\n\n');
        rest = events.pop();
        for (var event of events) {
          if (event.startsWith('event: complete')) return;
          if (event.startsWith('event: next')) yield JSON.parse(event.slice(event.indexOf('data: ') + 6));
        }
      }
    } finally {
      reader.cancel();
    }
  }

  // The gateway streams subscriptions, and nothing else, to who says that streams are welcome.
  function fetcher(params, options) {
    var headers = Object.assign(
      {
        'Content-Type': 'application/json',
        Accept: 'application/graphql-response+json, application/json;q=0.9, text/event-stream;q=0.8',
      },
      options && options.headers,
    );
    return fetch(endpoint, { method: 'POST', headers: headers, body: JSON.stringify(params) }).then(function (response) {
      var stream = response.ok && response.headers.get('Content-Type').startsWith('text/event-stream');
      return stream ? answers(response) : response.json();
    });
  }

  var tabs = [
    {
      query:
        '# Takes the newest ticket and votes with it.\n' +
        'mutation TicketAndVote {\n' +
        '  ticketAndVote(usernames: ["A", "B"]) {\n    success\n    message\n    code\n    totals {\n      username\n      votes\n    }\n  }\n}\n',
    },
    {
      query:
        '# Counts as they change.\nsubscription Tally {\n  tally {\n    seq\n    snapshot\n    counts {\n      username\n      votes\n    }\n  }\n}\n\n' +
        'query Counts {\n  getUserVotes(username: "A") {\n    username\n    votes\n    updatedAt\n  }\n' +
        '  getAllUserVotes {\n    username\n    votes\n  }\n}\n',
    },
    {
      query:
        'query Ticket {\n  getTicket {\n    value\n    version\n    remainingUsages\n    expiresAt\n    createdAt\n  }\n}\n\n' +
        '# Copy the ticket into the variables; it is valid for about two seconds.\n' +
        'mutation Vote($input: VoteInput!) {\n  vote(input: $input) {\n    success\n    message\n    code\n  }\n}\n',
      variables:
        '{\n  "input": {\n    "usernames": ["A"],\n    "ticket": {\n      "value": "",\n      "version": "",\n      "remainingUsages": 0,\n' +
        '      "expiresAt": "2026-01-01T00:00:00Z",\n      "createdAt": "2026-01-01T00:00:00Z"\n    }\n  }\n}',
    },
  ];

  ReactDOM.createRoot(document.getElementById('graphiql')).render(
    React.createElement(GraphiQL, { fetcher: fetcher, defaultTabs: tabs, shouldPersistHeaders: false }),
  );
})();
