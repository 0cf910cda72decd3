// A program that uses the client as its users do: write, batch, retry, read, page through, poll, meet errors.
// Called with the server's address and the keys that write and read; ends with a line of what it did.
import createClient from "openapi-fetch";
import type { components, paths } from "./daybook.js";

declare const process: { argv: string[] };
type Entry = components["schemas"]["AuditLog"];
type Event = components["schemas"]["EventInput"];

const [baseUrl = "", write = "", read = ""] = process.argv.slice(2);
const client = (key: string) =>
  createClient<paths, "application/json" | "application/problem+json">({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
const writer = client(write);
const reader = client(read);
const thing = `ts-${Date.now()}-${Math.random()}`;

function check(holds: unknown, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

function event(action: string): Event {
  return {
    action,
    resource: { type: "invoice", id: thing, label: "" },
    actor: { type: "user", id: "u-42", label: "dana@acme.example" },
    changes: { status: { old: "draft", new: "paid" } },
    metadata: { department: "finance" },
  };
}

async function one(): Promise<Entry> {
  const { data, error, response } = await writer.POST("/api/v1/audit-logs", { body: event("invoice.paid") });
  check(response.status === 201 && data && "action" in data, `written: ${JSON.stringify(error)}`);
  const found = await reader.GET("/api/v1/audit-logs/{entry_id}", { params: { path: { entry_id: data.id } } });
  check(found.data?.id === data.id && found.data.actor.label === "dana@acme.example", "read back");
  check(JSON.stringify(found.data.metadata) === '{"department":"finance"}', "metadata");
  check(response.headers.get("X-Request-ID"), "a request id");
  return data;
}

async function batch(): Promise<void> {
  const events = [event("step.1"), event("x".repeat(101)), event("step.2")];
  const { data } = await writer.POST("/api/v1/audit-logs", { body: { events } });
  check(data && "results" in data, "results");
  check(data.results.map((it) => it.status).join() === "created,rejected,created", "what became of each");
  check(data.results[1]?.errors[0]?.pointer === "/events/1/action", "the place of the fault");
}

async function retry(): Promise<void> {
  const params = { header: { "Idempotency-Key": thing } };
  const first = await writer.POST("/api/v1/audit-logs", { body: event("step.3"), params });
  const again = await writer.POST("/api/v1/audit-logs", { body: event("step.3"), params });
  check(JSON.stringify(first.data) === JSON.stringify(again.data), "the same answer");
  check(again.response.headers.get("Idempotency-Replayed") === "true", "replayed");
}

async function pages(): Promise<string[]> {
  const seen: string[] = [];
  let cursor: string | undefined;
  for (;;) {
    const query = { resource_id: [thing], limit: 2, ...(cursor === undefined ? {} : { cursor }) };
    const { data } = await reader.GET("/api/v1/audit-logs", { params: { query } });
    check(data, "a page");
    seen.push(...data.results.map((it) => it.action));
    if (data.next === null) return seen.reverse();
    cursor = data.next_cursor;
  }
}

async function poll(): Promise<void> {
  const query = { resource_id: [thing], order: "asc" as const, cursor: "end" };
  const { data } = await reader.GET("/api/v1/audit-logs", { params: { query } });
  check(data, "the end");
  await writer.POST("/api/v1/audit-logs", { body: event("step.4") });
  let cursor = data.next_cursor;
  for (let asked = 0; asked < 200; asked += 1) {
    const next = await reader.GET("/api/v1/audit-logs", { params: { query: { ...query, cursor } } });
    check(next.data, "a page");
    cursor = next.data.next_cursor;
    // What was written a moment before may still come after `end`: it had no position yet.
    if (next.data.results.some((it) => it.action === "step.4")) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  check(false, "the new entry was never shown");
}

async function errors(): Promise<void> {
  const bad = await reader.GET("/api/v1/audit-logs", { params: { query: { limit: 5000 } } });
  check(bad.error?.code === "bad_input" && bad.error.errors?.[0]?.parameter === "limit", "the parameter is named");
  const denied = await reader.POST("/api/v1/audit-logs", { body: event("step.5") });
  check(denied.response.status === 403 && denied.error?.code === "not_allowed", "not allowed");
  const none = await client("none").GET("/api/v1/audit-logs");
  check(none.error?.code === "bad_key", "a bad key");
}

await one();
await batch();
await retry();
const seen = await pages();
check(seen.join() === "invoice.paid,step.1,step.2,step.3", seen.join());
await poll();
await errors();
console.log("round trip done");
