// Runs Lighthouse over pages in the machine's own Chromium, and prints the scores as JSON lines.
//
// node run.mjs CHROMIUM ORIGIN COOKIE PATH…   (a path that begins with @ is asked for signed in)
import { launch } from "chrome-launcher";
import lighthouse from "lighthouse";

const [chromePath, origin, cookie, ...paths] = process.argv.slice(2);
const chrome = await launch({
  chromePath,
  chromeFlags: ["--headless=new", "--no-sandbox", "--disable-gpu"],
  maxConnectionRetries: 200,
});
try {
  for (const named of paths) {
    const path = named.replace(/^@/, "");
    const extraHeaders = named.startsWith("@") ? { Cookie: cookie } : {};
    const found = await lighthouse(`${origin}${path}`, {
      port: chrome.port,
      output: "json",
      logLevel: "error",
      maxWaitForLoad: 90_000,
      extraHeaders,
    });
    const { categories, audits } = found.lhr;
    const failed = [];
    for (const category of Object.values(categories)) {
      for (const { id, weight } of category.auditRefs) {
        const { score, title } = audits[id];
        if (weight > 0 && score !== null && score < 0.9) {
          failed.push(`${category.id}: ${id}: ${title}`);
        }
      }
    }
    const scores = Object.fromEntries(
      Object.entries(categories).map(([name, { score }]) => [name, Math.round(score * 100)]),
    );
    console.log(JSON.stringify({ path, isSignedIn: named.startsWith("@"), scores, failed }));
  }
} finally {
  chrome.kill();
}
