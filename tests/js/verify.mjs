// node verify.mjs BUNDLE.json KEY.pub.pem -- prints "accepted" (exit 0) or the reason for the refusal (exit 1).
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { Verifier, toSignedEntity } from "@sigstore/verify";

// Everything that a key-only bundle does without is switched off; what is left is the signature over the envelope.
const noAuthorities = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const noThresholds = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };

try {
  const [bundlePath, keyPath] = process.argv.slice(2);
  if (!bundlePath || !keyPath) throw new Error("usage: node verify.mjs BUNDLE.json KEY.pub.pem");
  const publicKey = createPublicKey(readFileSync(keyPath));
  const trusted = { ...noAuthorities, publicKey: () => ({ publicKey, validFor: () => true }) };
  const bundle = bundleFromJSON(JSON.parse(readFileSync(bundlePath, "utf8")));
  new Verifier(trusted, noThresholds).verify(toSignedEntity(bundle));
  console.log("accepted");
} catch (error) {
  console.log(`refused: ${error.code ?? error.name}: ${error.message}`);
  process.exitCode = 1;
}
