// Drives the emulator with @azure/arm-datafactory and checks what it reads; it knows nothing of this package.
// Where the emulator is, it reads as JSON from its standard input.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";

const require = createRequire(process.env.CLIENT_MODULES + "/");
const { DataFactoryManagementClient } = require("@azure/arm-datafactory");
const { version } = JSON.parse(
  readFileSync(process.env.CLIENT_MODULES + "/node_modules/@azure/arm-datafactory/package.json"),
);
const place = JSON.parse(readFileSync(0));

const credential = {
  async getToken(scopes) {
    const form = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: place.client_id,
      client_secret: place.client_secret,
      scope: [scopes].flat()[0],
    });
    const answer = await fetch(`${place.url}/${place.tenant}/oauth2/v2.0/token`, { method: "POST", body: form });
    const token = await answer.json();
    return { token: token.access_token, expiresOnTimestamp: Date.now() + token.expires_in * 1000 };
  },
};

function check(what, found, expected) {
  if (!isDeepStrictEqual(found, expected)) {
    throw new Error(`FAILED ${what}: found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
  }
  console.log(`  ok ${what}`);
}

async function everyPage(query, filters, orderBy) {
  const day = 24 * 3600 * 1000;
  const body = {
    lastUpdatedAfter: new Date(Date.now() - 40 * day),
    lastUpdatedBefore: new Date(Date.now() + day),
    filters: filters.map(([operand, operator, values]) => ({ operand, operator, values })),
    orderBy,
  };
  const rows = [];
  let pages = 0;
  do {
    const answer = await query(body);
    rows.push(...answer.value);
    pages += 1;
    body.continuationToken = answer.continuationToken;
  } while (body.continuationToken);
  return [rows, pages];
}

async function main() {
  const client = new DataFactoryManagementClient(credential, place.subscription, { endpoint: place.url });
  const at = [place.resource_group, place.factory];
  const queryTriggerRuns = (body) => client.triggerRuns.queryByFactory(...at, body);
  const queryPipelineRuns = (body) => client.pipelineRuns.queryByFactory(...at, body);
  const failed = ["Status", "Equals", ["Failed"]];

  const order = [{ orderBy: "TriggerRunTimestamp", order: "DESC" }];
  const [runs, pages] = await everyPage(queryTriggerRuns, [failed], order);
  check("query trigger runs: every page", [runs.length, pages], [250, 3]);
  check("query trigger runs: each run once", new Set(runs.map((run) => run.triggerRunId)).size, 250);
  const times = runs.map((run) => run.triggerRunTimestamp.getTime());
  check("query trigger runs: times are read, in the order asked for", times, times.toSorted((a, b) => b - a));
  const newest = runs[0];
  check(
    "query trigger runs: fields",
    [newest.triggerName, newest.triggerType, newest.status, Object.keys(newest.properties).sort()],
    ["hourly", "TumblingWindowTrigger", "Failed", ["TriggerTime", "windowEndTime", "windowStartTime"]],
  );

  const runId = newest.triggeredPipelines.load;
  const run = await client.pipelineRuns.get(...at, runId);
  check("get: fields", [run.runId, run.status, run.pipelineName, run.isLatest], [runId, "Failed", "load", true]);
  check("get: who started it", run.invokedBy.name, "hourly");
  check("get: times are read", run.runEnd > run.runStart && run.durationInMs > 0, true);
  const [pipelineRuns, pipelinePages] = await everyPage(queryPipelineRuns, [failed]);
  check("query pipeline runs: every page", [pipelineRuns.length, pipelinePages], [250, 3]);
  const [activities] = await everyPage((body) => client.activityRuns.queryByPipelineRun(...at, runId, body), []);
  check("query activity runs", activities.map((each) => each.activityName).sort(), ["Copy", "Tell"]);

  const created = (await client.pipelines.createRun(...at, "load", { parameters: { region: "south" } })).runId;
  const made = await client.pipelineRuns.get(...at, created);
  check("createRun", [made.status, made.parameters, made.runEnd], ["InProgress", { region: "south" }, null]);
  const recovery = { referencePipelineRunId: runId, isRecovery: true, startFromFailure: true };
  const recovered = (await client.pipelines.createRun(...at, "load", recovery)).runId;
  const [group] = await everyPage(queryPipelineRuns, [["RunGroupId", "Equals", [runId]]]);
  check("createRun: a recovery joins the group", group.map((each) => each.runId).sort(), [runId, recovered].sort());

  await client.pipelineRuns.cancel(...at, created, { isRecursive: true });
  check("cancel: takes its time", (await client.pipelineRuns.get(...at, created)).status, "Canceling");
  const refusal = await client.pipelineRuns.cancel(...at, runId).then(
    () => "no error",
    (error) => [error.statusCode, error.code],
  );
  check("cancel of a finished run", refusal, [400, "PipelineRunNotRunning"]);

  await client.triggerRuns.rerun(...at, "hourly", newest.triggerRunId);
  const [again] = await everyPage(queryTriggerRuns, [["Status", "Equals", ["Running"]]]);
  check(
    "rerun: a new run of the window, in the same group",
    again.map((each) => [each.properties.windowStartTime, each.groupId]),
    [[newest.properties.windowStartTime, newest.triggerRunId]],
  );

  const [waiting] = await everyPage(queryTriggerRuns, [["Status", "Equals", ["WaitingOnDependency"]]]);
  await client.triggerRuns.cancel(...at, "report", waiting[0].triggerRunId);
  console.log("  ok cancel of a waiting trigger run");
  const trigger = await client.triggers.get(...at, "report");
  check("trigger", trigger.properties.dependsOn[0].referenceTrigger.referenceName, "hourly");
  await client.triggers.beginStartAndWait(...at, "hourly");
  await client.triggers.beginStopAndWait(...at, "hourly");
  console.log("  ok start and stop");
}

console.log(`@azure/arm-datafactory ${version}`);
main().catch((error) => {
  console.log(`  ${error.stack}`);
  process.exitCode = 1;
});
