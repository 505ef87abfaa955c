// Keeps the open page current from the event stream. All text goes in through textContent. The server's templates say
// what a row looks like; this script only fills them: an element with data-f shows the value of that name.

const maxRows = 200; // in the table of events
const maxQueue = maxRows; // while the page is paused or busy
const drawEvery = 150; // ms between two drawings of new events
const firstRetry = 2000; // ms until the stream is asked for again, when the browser gave up
const lastRetry = 60000;
const skippedFor = 10000; // ms that the page shows how many events it left out

const byId = (id) => document.getElementById(id);
const table = byId("events").tBodies[0];
const pauseButton = byId("pause");

let last = Number(document.body.dataset.last); // seq of the newest event that came
let queue = []; // events that are not drawn yet, the oldest first
let waiting = 0; // events since the pause began
let drawing = 0; // timer
let forgetting = 0; // timer
let paused = false;
let retry = firstRetry;

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function fill(node, values) {
  for (const element of node.querySelectorAll("[data-f]")) {
    const value = values[element.dataset.f];
    setText(element, value === undefined || value === null ? "" : String(value));
  }
}

function make(template) {
  return byId(template).content.firstElementChild.cloneNode(true);
}

function setLink(element, address) {
  if (address) element.setAttribute("href", address);
  else element.removeAttribute("href");
}

// list makes parent's children show items, keeping the elements that are there, so that the focus stays where it is.
function list(parent, template, items, dress) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  items.forEach((item, i) => {
    const node = parent.children[i] ?? parent.appendChild(make(template));
    fill(node, item);
    dress(node, item);
  });
  const none = parent.closest(".card, .scroll")?.querySelector(".none");
  if (none) none.hidden = items.length > 0;
}

// Events.

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function clock(iso) {
  const t = new Date(iso);
  if (Number.isNaN(t.getTime())) return "";
  const two = (n) => String(n).padStart(2, "0");
  return `${two(t.getUTCDate())} ${months[t.getUTCMonth()]} ${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}`;
}

function eventRow(event) {
  const row = make("new-event");
  const port = event.local_port ? String(event.local_port) + (event.proto ? "/" + event.proto : "") : "";
  fill(row, { ...event, time: clock(event.time), local_port: port });
  row.dataset.seq = event.seq;
  row.classList.add("fresh");
  const part = (name) => row.querySelector(`[data-f="${name}"]`);
  part("time").setAttribute("datetime", event.time);
  part("kind").dataset.kind = event.kind;
  part("address").setAttribute("href", "/addresses/" + encodeURIComponent(event.address));
  part("user").hidden = !event.user;
  part("local_port").hidden = !port;
  return row;
}

function draw() {
  drawing = 0;
  if (paused || queue.length === 0) return;
  const rows = document.createDocumentFragment();
  for (const event of queue) rows.prepend(eventRow(event));
  queue = [];
  table.prepend(rows);
  while (table.rows.length > maxRows) table.lastElementChild.remove();
  byId("no-events").hidden = true;
}

function take(event) {
  if (event.seq <= last) return;
  last = event.seq;
  queue.push(event);
  if (queue.length > maxQueue) queue.shift();
  if (paused) {
    waiting++;
    setPauseText();
  } else if (!drawing) {
    drawing = setTimeout(draw, drawEvery);
  }
}

function setPauseText() {
  setText(pauseButton, paused ? `Resume${waiting ? ` (${waiting.toLocaleString("en-GB")} new)` : ""}` : "Pause");
}

pauseButton.hidden = false;
pauseButton.addEventListener("click", () => {
  paused = !paused;
  waiting = 0;
  pauseButton.setAttribute("aria-pressed", String(paused));
  setPauseText();
  draw();
});

// The rest of the page.

function showStatus(status) {
  byId("dry").hidden = byId("dry-run").hidden = !status.dry_run;
  const health = byId("health");
  health.dataset.state = status.health;
  setText(health, status.health_text);

  const problems = byId("problems");
  problems.hidden = status.problems.length === 0;
  list(problems, "new-problem", status.problems, () => {});

  for (const figure of status.figures) {
    const node = document.querySelector(`[data-figure="${CSS.escape(figure.id)}"]`);
    if (!node) continue;
    fill(node, figure);
    node.classList.toggle("alarm", figure.alarm);
  }

  const activity = byId("activity");
  fill(activity, status.activity);
  activity.querySelectorAll("rect").forEach((bar, i) => {
    bar.setAttribute("y", 100 - status.activity.bars[i]);
    bar.setAttribute("height", status.activity.bars[i]);
  });

  for (const element of document.querySelectorAll("[data-counted]")) setText(element, status.counted);
  for (const { id, ranks } of status.lists) {
    list(byId(id), "new-rank", ranks, (node, rank) => {
      node.dataset.key = rank.key;
      setLink(node.querySelector("a"), rank.link);
      node.querySelector("rect").setAttribute("width", rank.share);
    });
  }
  list(byId("outbox"), "new-count", status.outbox, (node, count) => {
    node.querySelector(".badge").dataset.state = count.state;
  });
  list(byId("reports").tBodies[0], "new-report", status.reports, (node, report) => {
    node.querySelector(".badge").dataset.state = report.state;
    setLink(node.querySelector("a"), "/addresses/" + encodeURIComponent(report.address));
  });
  list(byId("sources").tBodies[0], "new-source", status.sources, (node, source) => {
    node.classList.toggle("alarm", source.alarm);
    node.dataset.up = source.up;
  });
}

// The stream.

function showLive(state, text) {
  document.documentElement.dataset.live = state;
  const live = byId("live");
  live.dataset.state = state;
  setText(live, text);
}

function connect() {
  showLive("connecting", "Connecting");
  const stream = new EventSource(`/events?after=${last}&limit=${maxRows}`);
  const on = (name, handle) => stream.addEventListener(name, (message) => handle(JSON.parse(message.data)));
  stream.addEventListener("open", () => {
    retry = firstRetry;
    showLive("open", "Live");
  });
  stream.addEventListener("error", () => {
    if (stream.readyState !== EventSource.CLOSED) {
      showLive("connecting", "Reconnecting");
      return;
    }
    // The server refused, for example because too many pages are open. The browser leaves the next try to us.
    showLive("closed", "Not live");
    setTimeout(connect, retry);
    retry = Math.min(2 * retry, lastRetry);
  });
  on("event", take);
  on("status", showStatus);
  on("skipped", ({ skipped }) => {
    setText(byId("skipped"), `${skipped.toLocaleString("en-GB")} events passed too quickly to be shown`);
    clearTimeout(forgetting);
    forgetting = setTimeout(() => setText(byId("skipped"), ""), skippedFor);
  });
  on("reset", () => {
    last = 0;
    queue = [];
    table.replaceChildren();
  });
}

connect();
