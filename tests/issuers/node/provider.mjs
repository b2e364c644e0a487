// Any number of OpenID providers with oidc-provider (npm), in one process. Each has its own port, and the keys that the
// tests give it. A second request for the same issuer replaces its keys as the library documents it: the keys are an
// argument of the constructor, the first suitable one signs, and all are published.
//
// The argument is the port for requests of the tests: `PUT /` with {"issuer", "keys", "claims", "life"} answers {"port"}.

import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const SCOPES = "orders:read orders:write billing:read";
const SECRET = "a-secret-of-the-tests";
const ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"];
const LOOPBACK = "127.0.0.1";

// For each issuer, the server and the provider that currently answers on it.
const running = new Map();

// Every resource exists here. The name of the client that requests a token says which algorithm signs it.
function resourceServer(resource, client, life) {
  return {
    audience: resource,
    scope: SCOPES,
    accessTokenFormat: "jwt",
    accessTokenTTL: life,
    jwt: { sign: { alg: client.clientId } },
  };
}

// Changes tokens to look like those of other products: adds claims, or removes those with the value null.
function written(payload, claims) {
  for (const [name, value] of Object.entries(claims)) {
    if (value === null) delete payload[name];
    else payload[name] = value;
  }
}

function provider({ issuer, keys, claims = {}, life = 3600 }) {
  const made = new Provider(issuer, {
    jwks: { keys },
    scopes: SCOPES.split(" "),
    clients: ALGORITHMS.map((name) => ({
      client_id: name,
      client_secret: SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    })),
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource, client) => resourceServer(resource, client, life),
      },
    },
    formats: { customizers: { jwt: (_, token, jwt) => written(jwt.payload, claims) } },
    ttl: { ClientCredentials: life },
  });
  // TLS ends before the provider. `X-Forwarded-Proto` says whether the client used it.
  made.proxy = true;
  return made.callback();
}

function listening(server, port = 0) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, LOOPBACK, () => resolve(server.address().port));
  });
}

async function provide(wanted) {
  const known = running.get(wanted.issuer);
  if (known) {
    known.answer = provider(wanted);
    return known.port;
  }
  const made = { answer: provider(wanted) };
  made.port = await listening(createServer((request, response) => made.answer(request, response)));
  running.set(wanted.issuer, made);
  return made.port;
}

async function control(request, response) {
  let text = "";
  for await (const piece of request) text += piece;
  try {
    const answer = request.method === "PUT" ? { port: await provide(JSON.parse(text)) } : {};
    response.end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(500).end(error.stack);
  }
}

await listening(createServer(control), Number(process.argv[2]));
