// The playground: one conversation, up to four models, answers as they stream. Nothing of it is kept
// on the server; this tab remembers it until it is closed or the person signs out.
(() => {
  "use strict";

  const COLUMNS_MAX = 4;
  const IMAGES_MAX = 4;
  const IMAGE_BYTES_MAX = 5_000_000;
  const STORE = "solrouter-playground";
  const SAVE_EVERY_MS = 1000;
  const byId = (id) => document.getElementById(id);
  const play = byId("play");
  const { url, receiptUrl, balanceUrl, topUpUrl, loginUrl, baseUrl } = play.dataset;

  // Each turn: what was asked, its images, and one answer for each column; where an answer calls tools
  // and their results were given by hand, `next` is what the model said then.
  const state = { models: [], turns: [], images: [] };
  // What is under way, and how it is stopped.
  const running = new Map();
  // What decides whether results may be sent, asked again whenever an answer begins or ends.
  const judges = new Set();

  const el = (name, className = "", text = "") => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };

  const button = (text, act, className = "button button-quiet button-small") => {
    const found = el("button", className, text);
    found.type = "button";
    found.addEventListener("click", act);
    return found;
  };

  const say = (words) => { byId("play-status").textContent = words; };
  const optionOf = (model) => byId("play-head").content.querySelector(`option[value="${CSS.escape(model)}"]`);
  const nameOf = (model) => optionOf(model)?.textContent || model;

  // --- what is asked ---

  const settings = () => {
    const found = {};
    for (const [name, id] of [["temperature", "play-temperature"], ["top_p", "play-top-p"], ["max_tokens", "play-max-tokens"]]) {
      const number = byId(id).valueAsNumber;
      if (!Number.isNaN(number)) found[name] = number;
    }
    const tools = readTools();
    if (tools) found.tools = tools;
    return found;
  };

  // Asked before anything is touched; what is wrong is said at its field.
  const areSettingsRight = () => {
    try { settings(); return true; } catch { return false; }
  };

  const readTools = () => {
    const problem = byId("play-tools-error");
    problem.hidden = true;
    const text = byId("play-tools").value.trim();
    if (!text) return null;
    try {
      const tools = JSON.parse(text);
      if (Array.isArray(tools)) return tools;
      throw new SyntaxError("it is no list");
    } catch (error) {
      problem.textContent = `The tools are not valid JSON: ${error.message}`;
      problem.hidden = false;
      byId("play-tools").focus();
      throw error;
    }
  };

  const contentOf = (turn) => turn.images.length
    ? [...(turn.text ? [{ type: "text", text: turn.text }] : []), ...turn.images.map((image) => ({ type: "image_url", image_url: { url: image } }))]
    : turn.text;

  // An answer and all that followed its tools' results.
  const stepsOf = (answer) => answer ? [answer, ...stepsOf(answer.next)] : [];
  const columnOf = (turn, answer) => turn.answers.findIndex((first) => stepsOf(first).includes(answer));
  const isUnderWay = (answer) => ["waiting", "streaming"].includes(answer.state);
  const callsOf = (answer) => answer.calls.filter(Boolean);
  const hasSaid = (answer) => stepsOf(answer).some((step) => step.text || step.resultsSent);

  const messagesOf = (step, isOver) => {
    if (step.resultsSent) {
      const calls = callsOf(step).map(({ id, name, arguments: text }) => ({ id, type: "function", function: { name, arguments: text } }));
      return [
        { role: "assistant", content: step.text || null, tool_calls: calls },
        ...callsOf(step).map(({ id, result }) => ({ role: "tool", tool_call_id: id, content: result })),
      ];
    }
    return isOver && step.text ? [{ role: "assistant", content: step.text }] : [];
  };

  const bodyFor = (column, until = state.turns.length) => {
    const messages = [];
    const system = byId("play-system").value.trim();
    if (system) messages.push({ role: "system", content: system });
    state.turns.slice(0, until).forEach((turn, index) => {
      messages.push({ role: "user", content: contentOf(turn) });
      const isOver = index < until - 1;
      // A model that joined later has seen what the first one said.
      const answer = isOver && !hasSaid(turn.answers[column]) ? turn.answers[0] : turn.answers[column];
      for (const step of stepsOf(answer)) messages.push(...messagesOf(step, isOver));
    });
    return { model: state.models[column], messages, ...settings() };
  };

  // --- streaming ---

  const take = (answer, chunk) => {
    answer.id ||= chunk.id;
    if (chunk.usage) answer.usage = chunk.usage;
    if (chunk.error) answer.error = chunk.error;
    for (const choice of chunk.choices || []) {
      const delta = choice.delta || {};
      const thought = delta.reasoning_content || (typeof delta.reasoning === "string" ? delta.reasoning : "");
      if ((delta.content || thought || delta.tool_calls) && !answer.firstMs) answer.firstMs = performance.now() - answer.began;
      answer.text += delta.content || delta.refusal || "";
      answer.reasoning += thought;
      for (const part of delta.tool_calls || []) {
        const index = part.index ?? 0;
        const call = answer.calls[index] ||= { id: `call_${index}`, name: "", arguments: "", result: "" };
        call.id = part.id || call.id;
        call.name += part.function?.name || "";
        call.arguments += part.function?.arguments || "";
      }
      if (choice.finish_reason) answer.finish = choice.finish_reason;
    }
  };

  const read = async (response, answer, draw) => {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data: {")) take(answer, JSON.parse(line.slice(6)));
      }
      draw();
    }
  };

  const failure = async (response) => {
    if (response.redirected || response.status === 401) return { message: "You are signed out.", href: loginUrl, link: "Sign in" };
    if (!(response.headers.get("Content-Type") || "").includes("json")) return { message: `The server answered ${response.status}. Please try again.` };
    const { error } = await response.json();
    return response.status === 402 && topUpUrl ? { ...error, href: topUpUrl, link: "Top up" } : error;
  };

  const answerTurn = async (turn, column, before = null) => {
    const answer = { model: state.models[column], text: "", reasoning: "", calls: [], began: performance.now(), state: "waiting" };
    if (before) before.next = answer;
    else turn.answers[column] = answer;
    const control = new AbortController();
    running.set(answer, control);
    showRunning();
    // It is paid from here on, so that whoever leaves must find it again.
    save();
    let frame = 0;
    const draw = () => {
      saveSoon();
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        // Where it stands by now: columns come and go meanwhile.
        const now = columnOf(turn, answer);
        if (now >= 0) drawAnswer(turn.places[now], turn, now);
      });
    };
    draw();
    try {
      const body = { ...bodyFor(column, state.turns.indexOf(turn) + 1), stream: true, stream_options: { include_usage: true } };
      const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: control.signal });
      if ((response.headers.get("Content-Type") || "").startsWith("text/event-stream")) {
        answer.id = response.headers.get("X-Generation-Id");
        answer.state = "streaming";
        await read(response, answer, draw);
        answer.state = answer.error ? "failed" : "done";
        if (!answer.error && !answer.finish) throw new TypeError("cut off");
      } else {
        answer.error = await failure(response);
        answer.state = "failed";
      }
    } catch (error) {
      answer.state = control.signal.aborted ? "stopped" : "failed";
      if (!control.signal.aborted) answer.error = { message: "The connection broke before the answer was finished." };
    }
    answer.totalMs = performance.now() - answer.began;
    running.delete(answer);
    draw();
    showRunning();
    say(`${nameOf(answer.model)}: ${answer.state === "done" ? "answer finished" : answer.state}`);
    save();
    if (!running.size) finished();
  };

  const finished = () => {
    if (window.htmx && byId("balance")) window.htmx.ajax("GET", balanceUrl, { target: "#balance", swap: "outerHTML" });
    // Not out of a field that is being written in, nor from text that is marked.
    const isFree = [null, document.body, byId("play-send"), byId("play-stop")].includes(document.activeElement);
    if (isFree && window.getSelection().isCollapsed) byId("play-message").focus();
  };

  // --- how it looks ---

  // An answer is drawn in pieces: [key, what makes it, what brings it up to date]. A piece stays while
  // its key does, so that what is marked, pressed or opened in it lives through the next words.
  const fill = (place, pieces) => {
    pieces.forEach(([key, make, update], index) => {
      let piece = place.children[index];
      if (piece?.key !== key) {
        const made = make();
        made.key = key;
        if (piece) piece.replaceWith(made);
        else place.append(made);
        piece = made;
      }
      update?.(piece);
    });
    while (place.children.length > pieces.length) place.lastElementChild.remove();
  };

  // From the first letter that differs, for a mark ends where its text is replaced.
  const rewrite = (node, text) => {
    const { data } = node;
    let same = text.startsWith(data) ? data.length : 0;
    while (same < text.length && text[same] === data[same]) same += 1;
    if (same < Math.max(text.length, data.length)) node.replaceData(same, data.length - same, text.slice(same));
  };
  const write = (element, text) => rewrite(element.firstChild || element.appendChild(new Text()), text);

  // Fenced code, inline code and bold; all else as it was written.
  const textPieces = (text, number) => text.split(/^```/m).flatMap((part, index) => {
    if (index % 2) {
      const [first, ...lines] = part.split("\n");
      const title = first.trim() || "Code";
      const id = `play-block-${number}-${index}`;
      return [[`${id} ${title}`, () => copyBox(title, id), (box) => write(box.querySelector("code"), lines.join("\n").replace(/\n$/, ""))]];
    }
    if (!part.trim()) return [];
    return [[`text-${number}-${index}`, () => el("div", "play-text"), (paragraph) => writeInline(paragraph, part.replace(/^\n+|\n+$/g, ""))]];
  });

  const copyBox = (title, id) => {
    const box = codeBox(title, "");
    const copy = el("button", "copy");
    copy.type = "button";
    copy.dataset.copy = box.querySelector("code").id = id;
    const label = el("span", "", "Copy");
    label.dataset.label = "";
    copy.append(label);
    box.firstElementChild.append(copy);
    return box;
  };

  const writeInline = (paragraph, text) => {
    const parts = text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/);
    // Every other part is plain, if need be empty.
    parts.forEach((part, index) => {
      const found = paragraph.childNodes[index];
      if (index % 2 === 0) {
        if (found) rewrite(found, part);
        else paragraph.append(new Text(part));
      } else if (found?.source !== part) {
        const made = part.startsWith("`") ? el("code", "inline-code", part.slice(1, -1)) : el("strong", "", part.slice(2, -2));
        made.source = part;
        if (found) found.replaceWith(made);
        else paragraph.append(made);
      }
    });
    while (paragraph.childNodes.length > parts.length) paragraph.lastChild.remove();
  };

  const seconds = (ms) => ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  const chargeOf = (answer) => answer.usage?.cost_details?.charge ?? answer.error?.metadata?.charged;

  const figuresOf = (answer) => {
    const { usage, firstMs, totalMs } = answer;
    const found = [];
    if (usage) found.push(`${usage.prompt_tokens.toLocaleString()} in`, `${usage.completion_tokens.toLocaleString()} out`);
    if (chargeOf(answer) !== undefined) found.push(`$${chargeOf(answer)}`);
    if (firstMs) found.push(`first word after ${seconds(firstMs)}`);
    if (totalMs) found.push(`${seconds(totalMs)} in all`);
    if (usage && totalMs > firstMs + 50) found.push(`${Math.round(usage.completion_tokens / (totalMs - firstMs) * 1000)} tokens/s`);
    return found.join(" · ");
  };

  const codeBox = (title, text) => {
    const box = el("div", "code");
    const bar = el("div", "code-head");
    bar.append(el("span", "", title));
    const pre = el("pre");
    pre.tabIndex = 0;
    pre.append(el("code", "", text));
    box.append(bar, pre);
    return box;
  };

  const pretty = (text) => {
    try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
  };

  // The calls of an answer, and below each its result: given by hand, for nothing runs a tool here.
  const callPieces = (turn, column, answer, number) => {
    const calls = callsOf(answer);
    const mayAnswer = turn === state.turns.at(-1) && answer.state === "done" && !answer.resultsSent;
    const pieces = calls.flatMap((call, index) => {
      const id = `play-result-${number}-${index}`;
      const found = [[`call ${id} ${call.name}`, () => codeBox(`Tool call: ${call.name}`, ""), (box) => write(box.querySelector("code"), pretty(call.arguments))]];
      if (answer.resultsSent) found.push([`sent ${id}`, () => codeBox(`Its result: ${call.name}`, pretty(call.result))]);
      if (mayAnswer) found.push([id, () => resultField(call, id, () => { for (const each of judges) each(); save(); })]);
      return found;
    });
    if (!calls.length || !mayAnswer) return pieces;
    return [...pieces, [`send ${number}`, () => sendResults(turn, column, answer)]];
  };

  const sendResults = (turn, column, answer) => {
    const send = button("Send results", () => {
      if (!areSettingsRight()) return;
      answer.resultsSent = true;
      answerTurn(turn, column, answer);
    }, "button button-secondary button-small");
    const judge = () => { send.disabled = running.size > 0 || callsOf(answer).some((call) => !call.result.trim()); };
    judge();
    judges.add(judge);
    return send;
  };

  const resultField = (call, id, tell) => {
    const label = el("label", "", `Result of ${call.name}`);
    const area = el("textarea", "input");
    area.id = label.htmlFor = id;
    area.rows = 2;
    area.value = call.result;
    area.placeholder = "What the tool would answer";
    area.addEventListener("input", () => { call.result = area.value; tell(); });
    const field = el("div", "field");
    field.append(label, area);
    return field;
  };

  const drawAnswer = (place, turn, column) => {
    const steps = stepsOf(turn.answers[column]);
    if (!steps.length) return;
    // Another answer's pieces are none of this one's.
    if (place.answer !== steps[0]) place.replaceChildren();
    place.answer = steps[0];
    place.setAttribute("aria-busy", String(isUnderWay(steps.at(-1))));
    const isLast = turn === state.turns.at(-1);
    const mayRetry = isLast && !isUnderWay(steps.at(-1));
    const before = `${state.turns.indexOf(turn)}-${column}`;
    fill(place, [
      [`head ${mayRetry}`, () => answerHead(turn, column, mayRetry)],
      ...steps.flatMap((step, index) => stepPieces(turn, column, step, `${before}-${index}`)),
    ]);
    showTotal();
  };

  const answerHead = (turn, column, mayRetry) => {
    const head = el("div", "play-answer-head");
    head.append(el("h3", "", nameOf(turn.answers[column].model)));
    if (mayRetry) head.append(button("Retry", () => retry(turn, column)));
    return head;
  };

  const retry = (turn, column) => {
    // A second press comes before the button is gone, and would be paid, too.
    if (isUnderWay(stepsOf(turn.answers[column]).at(-1)) || !areSettingsRight()) return;
    answerTurn(turn, column);
  };

  const ENDINGS = {
    stopped: "Stopped by you. What was made until then is charged, and its receipt says how much.",
    left: "It was left before it was finished. What was made until then is charged, and its receipt says how much.",
  };

  const stepPieces = (turn, column, answer, number) => {
    const pieces = [];
    const add = (key, make, update) => pieces.push([`${key} ${number}`, make, update]);
    if (answer.reasoning) add("thoughts", () => thoughtsOf(answer), (box) => showThoughts(box, answer));
    pieces.push(...textPieces(answer.text, number), ...callPieces(turn, column, answer, number));
    if (answer.state === "waiting") {
      add("spinner", () => el("span", "spinner"));
      add("waiting", () => el("span", "visually-hidden", "Waiting for the answer"));
    }
    if (ENDINGS[answer.state]) add(answer.state, () => el("p", "hint", ENDINGS[answer.state]));
    if (answer.finish === "length") add("length", () => el("p", "hint", "It ended at the limit of output tokens."));
    if (answer.error) add("error", () => errorLine(answer.error));
    const hasReceipt = answer.id && !isUnderWay(answer);
    add(`foot ${hasReceipt} ${figuresOf(answer)}`, () => answerFoot(answer, hasReceipt));
    return pieces;
  };

  // Open until the answer's own words come, or as the person wants it.
  const thoughtsOf = (answer) => {
    const box = el("details", "more");
    const summary = el("summary", "", "Reasoning");
    summary.addEventListener("click", () => { answer.showsThoughts = !box.open; });
    box.append(summary, el("div", "play-text hint"));
    return box;
  };

  const showThoughts = (box, answer) => {
    box.open = answer.showsThoughts ?? !answer.text;
    write(box.lastElementChild, answer.reasoning);
  };

  const errorLine = (error) => {
    const line = el("p", "field-error", error.message);
    if (error.href) {
      const link = el("a", "", error.link);
      link.href = error.href;
      line.append(" ", link);
    }
    return line;
  };

  const answerFoot = (answer, hasReceipt) => {
    const foot = el("p", "play-figures", figuresOf(answer));
    if (hasReceipt) {
      const link = el("a", "", "Receipt");
      link.href = receiptUrl.replace("ID", answer.id);
      if (foot.textContent) foot.append(" · ");
      foot.append(link);
    }
    return foot;
  };

  const drawQuestion = (box, turn) => {
    box.replaceChildren();
    box.append(el("h2", "visually-hidden", "You asked"), el("div", "play-text", turn.text));
    for (const image of turn.images) {
      const picture = el("img");
      picture.src = image;
      picture.alt = "An image that was sent";
      box.append(picture);
    }
    box.append(button("Edit", () => edit(box, turn)));
  };

  const edit = (box, turn) => {
    const area = el("textarea", "input");
    area.value = turn.text;
    area.rows = 4;
    area.setAttribute("aria-label", "Your message");
    const row = el("div", "row");
    row.append(
      button("Ask again", () => {
        if ((!area.value.trim() && !turn.images.length) || !areSettingsRight()) return;
        stop();
        const index = state.turns.indexOf(turn);
        state.turns.splice(index);
        drawAll();
        ask(area.value, turn.images);
      }, "button button-primary button-small"),
      button("Cancel", () => drawQuestion(box, turn)),
      el("span", "hint", turn === state.turns.at(-1) ? "" : "What follows it goes away."),
    );
    box.replaceChildren(area, row);
    area.focus();
  };

  const drawTurn = (turn) => {
    const box = el("article", "play-turn");
    const question = el("div", "play-question");
    drawQuestion(question, turn);
    const answers = el("div", "play-answers");
    answers.dataset.columns = state.models.length;
    turn.places = state.models.map((_, column) => {
      const place = el("section", "play-answer");
      answers.append(place);
      if (turn.answers[column]) drawAnswer(place, turn, column);
      else place.append(el("p", "hint", "This model was not asked."));
      return place;
    });
    box.append(question, answers);
    byId("play-turns").append(box);
    return box;
  };

  const drawAll = () => {
    const turns = byId("play-turns");
    judges.clear();
    turns.querySelectorAll(".play-turn").forEach((each) => each.remove());
    byId("play-empty").hidden = state.turns.length > 0;
    state.turns.forEach(drawTurn);
    showTotal();
  };

  // The list holds what fits every word; what is chosen stays in it.
  const search = (head, select, column) => {
    const box = head.querySelector("input");
    box.id = `play-search-${column}`;
    const all = [...byId("play-head").content.querySelectorAll("option")];
    box.setAttribute("aria-label", `Search models for column ${column + 1}`);
    const fits = (option) => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      const text = `${option.value} ${option.textContent}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    box.addEventListener("input", () => {
      const chosen = select.value;
      const list = byId("play-head").content.querySelector("select").cloneNode(true);
      for (const option of list.querySelectorAll("option")) if (option.value !== chosen && !fits(option)) option.remove();
      for (const group of list.querySelectorAll("optgroup")) if (!group.children.length) group.remove();
      select.replaceChildren(...list.children);
      select.value = chosen;
      const found = all.filter(fits).length;
      say(found === 1 ? "1 model fits" : `${found} models fit`);
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") { event.preventDefault(); select.focus(); }
      if (event.key !== "Enter") return;
      event.preventDefault();
      const first = all.find(fits);
      if (!first || !box.value.trim()) return;
      select.value = first.value;
      select.dispatchEvent(new Event("change"));
      box.value = "";
      box.dispatchEvent(new Event("input"));
      byId("play-message").focus();
    });
  };

  const drawHeads = () => {
    const heads = byId("play-heads");
    heads.replaceChildren();
    heads.dataset.columns = state.models.length;
    state.models.forEach((model, column) => {
      const head = byId("play-head").content.firstElementChild.cloneNode(true);
      const select = head.querySelector("select");
      select.id = `play-model-${column}`;
      head.querySelector("label").htmlFor = select.id;
      head.querySelector("label").textContent = `Model ${column + 1}`;
      select.value = model;
      search(head, select, column);
      const tell = () => { head.querySelector(".hint").textContent = select.selectedOptions[0]?.dataset.price || ""; };
      tell();
      select.addEventListener("change", () => { state.models[column] = select.value; tell(); showImages(); save(); });
      const remove = head.querySelector("[data-remove]");
      remove.hidden = state.models.length === 1;
      remove.setAttribute("aria-label", `Remove model ${column + 1}`);
      remove.addEventListener("click", () => {
        // The others go on.
        stop(state.turns.flatMap((turn) => stepsOf(turn.answers[column])));
        state.models.splice(column, 1);
        state.turns.forEach((turn) => turn.answers.splice(column, 1));
        drawHeads();
        drawAll();
        save();
      });
      heads.append(head);
    });
    byId("play-add").disabled = state.models.length >= COLUMNS_MAX;
    showImages();
  };

  const showRunning = () => {
    byId("play-stop").hidden = running.size === 0;
    byId("play-send").disabled = running.size > 0;
    for (const judge of judges) judge();
  };

  const showTotal = () => {
    const charges = state.turns.flatMap((turn) => turn.answers).flatMap(stepsOf).map((answer) => Number((answer && chargeOf(answer)) || 0));
    const total = charges.reduce((sum, each) => sum + each, 0);
    byId("play-total").textContent = charges.length ? `This conversation: about $${total.toFixed(6)}` : "";
  };

  const showImages = () => {
    const sees = state.models.every((model) => optionOf(model)?.dataset.images);
    byId("play-files").disabled = !sees;
    byId("play-files").parentElement.classList.toggle("is-off", !sees);
    byId("play-files").parentElement.title = sees ? "" : "Not every chosen model sees images";
    const list = byId("play-images");
    list.replaceChildren();
    state.images.forEach((image, index) => {
      const item = el("li");
      const picture = el("img");
      picture.src = image;
      picture.alt = `Image ${index + 1}`;
      const remove = button("×", () => { state.images.splice(index, 1); showImages(); });
      remove.setAttribute("aria-label", `Remove image ${index + 1}`);
      item.append(picture, remove);
      list.append(item);
    });
  };

  // --- acts ---

  const stop = (answers = [...running.keys()]) => { for (const answer of answers) running.get(answer)?.abort(); };

  const ask = (text, images) => {
    if (!areSettingsRight()) return false;
    const turn = { text, images, answers: [], places: [] };
    state.turns.push(turn);
    byId("play-empty").hidden = true;
    // The one before is the last no longer, so it cannot be retried.
    drawAll();
    byId("play-turns").lastElementChild.scrollIntoView({ block: "start" });
    state.models.forEach((_, column) => answerTurn(turn, column));
    return true;
  };

  const send = () => {
    const message = byId("play-message");
    const text = message.value.trim();
    if ((!text && !state.images.length) || running.size || !state.models[0]) return;
    if (!ask(text, state.images)) return;
    message.value = "";
    state.images = [];
    showImages();
  };

  const addImages = async (files) => {
    for (const file of files) {
      if (state.images.length >= IMAGES_MAX) { say(`At most ${IMAGES_MAX} images at once`); break; }
      if (file.size > IMAGE_BYTES_MAX) { say(`${file.name} is too large: 5 MB at most`); continue; }
      const address = await new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result);
        reader.onerror = reject;
        reader.readAsDataURL(file);
      });
      state.images.push(address);
    }
    byId("play-files").value = "";
    showImages();
  };

  // --- remembered in this tab, shared by link ---

  const FIELDS = { system: "play-system", temperature: "play-temperature", top_p: "play-top-p", max_tokens: "play-max-tokens", tools: "play-tools" };
  const fields = () => Object.fromEntries(Object.entries(FIELDS).map(([name, id]) => [name, byId(id).value]).filter(([, value]) => value));
  const fillFields = (found) => { for (const [name, id] of Object.entries(FIELDS)) byId(id).value = found?.[name] ?? ""; };

  const save = () => {
    // Whoever comes back to what is under way now has left it.
    const packed = (answer) => answer && { ...answer, state: isUnderWay(answer) ? "left" : answer.state, next: packed(answer.next) };
    const turns = state.turns.map(({ text, answers }) => ({ text, images: [], answers: answers.map(packed) }));
    try { sessionStorage.setItem(STORE, JSON.stringify({ models: state.models, turns, fields: fields() })); } catch { /* full, or not allowed */ }
  };

  let saving = 0;
  const saveSoon = () => { saving ||= setTimeout(() => { saving = 0; save(); }, SAVE_EVERY_MS); };

  const encode = (value) => btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value)))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const decode = (text) => JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0))));

  // In the part after the #, which browsers never send.
  const link = () => {
    const message = byId("play-message").value || state.turns.at(-1)?.text || "";
    return `${location.origin}${location.pathname}#${encode({ models: state.models, fields: fields(), message })}`;
  };

  const restore = () => {
    let found = {};
    let isShared = false;
    try {
      if (location.hash.length > 1) {
        found = decode(location.hash.slice(1));
        isShared = true;
      } else if (!new URLSearchParams(location.search).has("model")) {
        found = JSON.parse(sessionStorage.getItem(STORE) || "{}");
      }
    } catch { found = {}; }
    const first = byId("play-head").content.querySelector("select").value;
    const known = (Array.isArray(found.models) ? found.models : []).filter((model) => typeof model === "string" && optionOf(model));
    state.models = known.slice(0, COLUMNS_MAX);
    if (!state.models.length) state.models = [first];
    fillFields(found.fields);
    if (isShared) byId("play-message").value = String(found.message ?? "");
    else state.turns = (found.turns || []).map((turn) => ({ ...turn, places: [] }));
    // From here on the tab remembers, so that a reload does not begin again.
    if (location.search || isShared) {
      history.replaceState(null, "", location.pathname);
      save();
    }
  };

  // --- the same request in code ---

  const python = (value, indent = "    ") => {
    const deeper = `${indent}    `;
    if (value === null) return "None";
    if (value === true) return "True";
    if (value === false) return "False";
    if (Array.isArray(value)) return value.length ? `[\n${value.map((each) => `${deeper}${python(each, deeper)},`).join("\n")}\n${indent}]` : "[]";
    if (typeof value === "object") return `{\n${Object.entries(value).map(([name, each]) => `${deeper}${JSON.stringify(name)}: ${python(each, deeper)},`).join("\n")}\n${indent}}`;
    return JSON.stringify(value);
  };

  const codes = (body) => [
    `curl ${baseUrl}/chat/completions \\\n  -H "Authorization: Bearer $SOLROUTER_API_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '${JSON.stringify(body, null, 2).replace(/'/g, "'\\''")}'`,
    `import os\n\nfrom openai import OpenAI\n\nclient = OpenAI(\n    base_url="${baseUrl}",\n    api_key=os.environ["SOLROUTER_API_KEY"],\n)\n\ncompletion = client.chat.completions.create(\n${Object.entries(body).map(([name, value]) => `    ${name}=${python(value)},`).join("\n")}\n)\n\nprint(completion.choices[0].message.content)`,
    `import OpenAI from "openai";\n\nconst client = new OpenAI({\n  baseURL: "${baseUrl}",\n  apiKey: process.env.SOLROUTER_API_KEY,\n});\n\nconst completion = await client.chat.completions.create(${JSON.stringify(body, null, 2)});\n\nconsole.log(completion.choices[0].message.content);`,
  ];

  const viewCode = () => {
    let body;
    try { body = bodyFor(0); } catch { return; }
    const draft = byId("play-message").value.trim();
    if (draft || !body.messages.some((message) => message.role === "user")) body.messages.push({ role: "user", content: draft || "What is the meaning of life?" });
    codes(body).forEach((code, index) => { byId(`play-code-${index}`).textContent = code; });
    byId("play-dialog").showModal();
  };

  // --- the page comes alive ---

  byId("play-form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  byId("play-settings").addEventListener("submit", (event) => event.preventDefault());
  byId("play-settings").addEventListener("change", save);
  byId("play-message").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
  });
  byId("play-message").addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (files.length && !byId("play-files").disabled) addImages(files);
  });
  byId("play-files").addEventListener("change", (event) => addImages([...event.target.files]));
  byId("play-stop").addEventListener("click", () => stop());
  byId("play-add").addEventListener("click", () => {
    if (state.models.length >= COLUMNS_MAX) return;
    const all = [...byId("play-head").content.querySelectorAll("option")].map((option) => option.value);
    state.models.push(all.find((model) => !state.models.includes(model)) || state.models[0]);
    drawHeads();
    drawAll();
    byId(`play-model-${state.models.length - 1}`).focus();
    save();
  });
  byId("play-new").addEventListener("click", () => {
    stop();
    state.turns = [];
    history.replaceState(null, "", location.pathname);
    drawAll();
    save();
    byId("play-message").focus();
  });
  byId("play-share").addEventListener("click", () => { byId("play-link").dataset.text = link(); });
  byId("play-view").addEventListener("click", viewCode);
  byId("play-close").addEventListener("click", () => byId("play-dialog").close());

  // The balance of who is signed out is the way to sign in, which the answer offers by itself.
  document.body.addEventListener("htmx:beforeOnLoad", (event) => {
    if (event.detail.target.id === "balance" && event.detail.xhr.getResponseHeader("HX-Redirect")) event.preventDefault();
  });

  if (byId("play-head").content.querySelector("option")) {
    restore();
    drawHeads();
    drawAll();
  } else {
    byId("play-send").disabled = true;
  }
})();
