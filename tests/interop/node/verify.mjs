// A verifier with jose (npm). Each line is a JSON request and gets a JSON answer, so the process and its caches live as
// long as a service's would. It fetches the JWKS itself and knows nothing about Signet.

import { createInterface } from "node:readline";
import { calculateJwkThumbprint, createRemoteJWKSet, exportJWK, importJWK, jwtVerify } from "jose";

const sets = new Map();

function remoteSet({ jwksUri, lifespan }) {
  if (!sets.has(jwksUri)) {
    // The cool-down after a fetch is jose's default of 30 s. During it, an unknown kid is refused without a fetch.
    sets.set(jwksUri, createRemoteJWKSet(new URL(jwksUri), { cacheMaxAge: lifespan * 1000 }));
  }
  return sets.get(jwksUri);
}

async function verify(request) {
  const { token, issuer, audience, algorithm } = request;
  const { payload } = await jwtVerify(token, remoteSet(request), { issuer, audience, algorithms: [algorithm] });
  return { claims: payload };
}

// Converts the key to jose's own key object and back, so the thumbprint is that of what jose parsed, not of our text.
async function thumbprints(request) {
  const set = remoteSet(request);
  await set.reload();
  const entries = set.jwks().keys.map(async (jwk) => {
    const key = await importJWK({ ...jwk, ext: true });
    return [jwk.kid, await calculateJwkThumbprint(await exportJWK(key), "sha256")];
  });
  return { thumbprints: Object.fromEntries(await Promise.all(entries)) };
}

const verbs = { verify, thumbprints };

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = await verbs[request.verb](request);
  } catch (error) {
    answer = { code: error.code ?? error.name, claim: error.claim, detail: String(error.message) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
