// A foreign subgraph that owns posts, and a router over it and the gateway under test: composed by Apollo's own
// composition, run by Apollo's own gateway. Reads one JSON object on stdin, {url, sdl, posts, requests: [{query,
// variables, headers}]}, and writes one on stdout, {answers: [...]}.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { composeServices } = require('@apollo/composition');
const { ApolloGateway, RemoteGraphQLDataSource } = require('@apollo/gateway');
const { buildSubgraphSchema } = require('@apollo/subgraph');
const { execute, parse } = require('graphql');

const foreignSDL = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])

  type Query { posts: [Post!]! }

  type Post @key(fields: "id") { id: ID! title: String! headline: String! }
`);

// The foreign subgraph is an HTTP server of its own, as in life.
async function serveForeign(posts) {
  const schema = buildSubgraphSchema({
    typeDefs: foreignSDL,
    resolvers: {
      Query: { posts: () => posts },
      Post: { __resolveReference: ({ id }) => posts.find((post) => post.id === id) },
    },
  });
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { query, variables } = JSON.parse(body);
    const result = await execute({ schema, document: parse(query), variableValues: variables });
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(result));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/graphql`, close: () => server.close() };
}

// compose fails with what composition has to say.
function compose(services) {
  const result = composeServices(services);
  if (result.errors?.length) throw new Error(result.errors.map(String).join('\n'));
  return result.supergraphSdl;
}

// A caller's credentials go to the subgraphs as they came.
class Forwarding extends RemoteGraphQLDataSource {
  willSendRequest({ request, context }) {
    for (const [name, value] of Object.entries(context.headers ?? {})) request.http.headers.set(name, value);
  }
}

let input = '';
for await (const chunk of process.stdin) input += chunk;
const { url, sdl, posts, requests } = JSON.parse(input);

const foreign = await serveForeign(posts);
const supergraphSdl = compose([
  { name: 'littlevote', url, typeDefs: parse(sdl) },
  { name: 'news', url: foreign.url, typeDefs: foreignSDL },
]);
const router = new ApolloGateway({
  supergraphSdl,
  buildService: ({ url }) => new Forwarding({ url }),
  logger: { debug() {}, info() {}, warn: console.error, error: console.error },
});
const { executor } = await router.load();
const answers = [];
for (const { query, variables, headers } of requests) {
  const document = parse(query);
  answers.push(await executor({
    document,
    request: { query, variables: variables ?? {} },
    context: { headers },
    queryHash: query,
    operationName: null,
    schema: router.schema,
    metrics: {},
    overallCachePolicy: { restrict() {} },
    cache: { async get() {}, async set() {}, async delete() {} },
  }));
}
await router.stop();
foreign.close();
process.stdout.write(JSON.stringify({ answers }));
process.exit(0);
