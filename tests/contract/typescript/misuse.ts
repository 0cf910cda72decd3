// What the types of the client must refuse: each of these lines is wrong, and the compiler has to say so.
import type { components, paths } from "./daybook.js";

type Schemas = components["schemas"];
type Query = NonNullable<paths["/api/v1/audit-logs"]["get"]["parameters"]["query"]>;

// @ts-expect-error an event has a resource
export const event: Schemas["EventInput"] = { action: "invoice.paid" };
// @ts-expect-error an outcome is one of four words
export const outcome: Schemas["Outcome"] = "great";
// @ts-expect-error there is no such parameter
export const unknown: Query = { colour: "red" };
// @ts-expect-error an order is asc or desc
export const order: Query = { order: "random" };
// @ts-expect-error an entry of the trail may have no position yet
export const position = (entry: Schemas["AuditLog"]): number => entry.position;
