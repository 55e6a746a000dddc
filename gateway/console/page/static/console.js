// Everything here works without it, too: this makes pages live, forms quicker and waiting visible.
"use strict";

const said = (text, unseen) => {
	const box = document.getElementById("said");
	if (!box) return;
	const p = document.createElement("p");
	p.className = unseen ? "unseen" : "note";
	p.textContent = text;
	box.replaceChildren(p);
};

const parse = html => new DOMParser().parseFromString(html, "text/html");

// What needs scripts is hidden until one runs.
const unhide = () => {
	if (window.PublicKeyCredential) document.querySelectorAll(".script[hidden]").forEach(e => { e.hidden = false; });
};
unhide();

// What came of a button on a card stays on that card for a while, although the pages that renew it know nothing of it.
const answers = new Map(), answerFor = 20000;
const answered = card => {
	const a = answers.get(card.id);
	if (!a) return;
	if (Date.now() > a.until) answers.delete(card.id);
	else if (!card.querySelector(".note")) card.append(document.importNode(a.note, true));
};

// While the pointer is down nothing on the page moves: a button that is replaced is never clicked, and one that slips away is another one's
// click. With a finger the click comes a while after it is up. Whoever holds on sees after half a minute how things are.
let pressed = false, missed = false, letting;
const letGo = after => {
	clearTimeout(letting);
	letting = setTimeout(() => {
		pressed = false;
		if (missed) { missed = false; refresh(); }
	}, after);
};
addEventListener("pointerdown", () => { pressed = true; letGo(30000); });
for (const up of ["pointerup", "pointercancel"]) addEventListener(up, () => letGo(500));
addEventListener("click", () => letGo(0));

// A field that somebody has just changed may have lost the focus. Its card is left alone for a while, or until the form is sent.
const editing = new WeakMap(), editFor = 30000;
addEventListener("input", e => { const card = e.target.closest("[data-live] > *"); if (card) editing.set(card, Date.now() + editFor); });
const edited = card => {
	if (editing.get(card) > Date.now()) return true;
	editing.delete(card);
	return false;
};

// Replaces the parts of live regions that have changed, and leaves alone what somebody is at.
const renew = page => {
	if (pressed) { missed = true; return; }
	document.querySelectorAll("[data-live]").forEach((region, i) => {
		const fresh = page.querySelectorAll("[data-live]")[i];
		if (!fresh) return;
		const known = new Map([...region.children].map(e => [e.id, e]));
		[...fresh.children].forEach((now, at) => {
			const old = known.get(now.id);
			known.delete(now.id);
			answered(now);
			if (!old) return region.insertBefore(now.cloneNode(true), region.children[at] || null);
			if (old.isEqualNode(now) || old.querySelector("details[open]")) return;
			if (edited(old)) return;
			const focus = old.contains(document.activeElement) ? document.activeElement : null;
			if (focus && /^(INPUT|SELECT|TEXTAREA)$/.test(focus.tagName)) return;
			const index = focus ? [...old.querySelectorAll("button,a,input")].indexOf(focus) : -1;
			const copy = now.cloneNode(true);
			old.replaceWith(copy);
			if (index >= 0) copy.querySelectorAll("button,a,input")[index]?.focus();
		});
		known.forEach(e => e.remove());
	});
	const banner = page.getElementById("lockdown"), shown = document.getElementById("lockdown");
	if (!banner !== !shown) banner ? document.getElementById("main").prepend(banner.cloneNode(true)) : shown.remove();
	const alarms = page.getElementById("alarms"), old = document.getElementById("alarms");
	const which = box => [...box.children].map(e => e.id + " " + e.dataset.times).join();
	if (alarms && old && which(alarms) !== which(old) && !old.contains(document.activeElement)) old.replaceWith(alarms.cloneNode(true));
	lookAgain();
};

// Looks again when something that is shown should have ended by itself.
let soonest;
const lookAgain = () => {
	clearTimeout(soonest);
	const waits = [...document.querySelectorAll("[data-again]")].map(e => Number(e.dataset.again));
	if (waits.length) soonest = setTimeout(refresh, Math.min(...waits));
};

let asking = false, again = false;
const refresh = async () => {
	const live = document.querySelector("[data-live]");
	if (!live) return;
	if (asking) { again = true; return; }
	asking = true;
	try {
		// The page of a form that was refused has the form's address, and says its own.
		const r = await fetch(live.dataset.live || location.href, {headers: {"Latchkey-Refresh": "1"}});
		if (r.ok && !r.redirected) renew(parse(await r.text()));
		else if (r.redirected) location.assign(r.url);
	} catch { /* the line below says that the connection is lost */ }
	asking = false;
	if (again) { again = false; refresh(); }
};

// A form that stays on its page. What comes back is a page: either this one, or one that asks for something first.
const quiet = async (form, button) => {
	const body = new URLSearchParams(new FormData(form, button));
	const r = await fetch(form.getAttribute("action"), {method: "POST", body});
	editing.delete(form.closest("[data-live] > *"));
	const page = parse(await r.text());
	if (page.title !== document.title || !page.querySelector("[data-live]")) {
		document.title = page.title;
		document.body.replaceWith(page.body);
		unhide();
		document.querySelector("[autofocus]")?.focus();
		return;
	}
	const note = page.querySelector("main .note"), card = note?.closest(".thing");
	if (card) answers.set(card.id, {note, until: Date.now() + answerFor});
	renew(page);
	if (!note) return;
	said(note.textContent, card);
	if (card) return;
	document.querySelector("#said .note").className = note.className;
};

// Says that a form had no answer, where somebody pressed the button.
const failed = (form, text) => {
	const card = form.closest(".thing");
	said(text, card);
	if (!card) return;
	const note = document.createElement("p");
	note.className = "note bad";
	note.textContent = text;
	card.querySelector(".note")?.remove();
	card.append(note);
	answers.set(card.id, {note, until: Date.now() + answerFor});
};

// Signs what the gateway asks for with a passkey, or makes one, and puts the result into the form.
const passkey = async form => {
	const making = form.dataset.newPasskey;
	const r = await fetch(making || form.dataset.passkey, {method: "POST"});
	if (!r.ok) throw new Error("The gateway does not take a passkey here.");
	const options = await r.json();
	const got = making
		? await navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options)})
		: await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)});
	form.elements[making ? "made" : "step-passkey"].value = JSON.stringify(got.toJSON());
};

document.addEventListener("submit", async e => {
	const form = e.target, button = e.submitter;
	if (form.dataset.passkey || form.dataset.newPasskey) {
		e.preventDefault();
		try {
			await passkey(form);
			form.submit();
		} catch (err) {
			said(err.name === "NotAllowedError" ? "No passkey was used. Try again, or another way." : err.message);
		}
		return;
	}
	if (form.dataset.wait) said(form.dataset.wait);
	if (form.method !== "post") return;
	if (form.getAttribute("aria-busy") === "true") return e.preventDefault();
	form.setAttribute("aria-busy", "true");
	button?.setAttribute("aria-busy", "true");
	if (!("quiet" in form.dataset)) return;
	e.preventDefault();
	try {
		await quiet(form, button);
	} catch {
		failed(form, "The gateway does not answer. Nothing is known of what came of it.");
	}
	form.removeAttribute("aria-busy");
	button?.removeAttribute("aria-busy");
});
addEventListener("pageshow", () => document.querySelectorAll("[aria-busy=true]").forEach(e => e.removeAttribute("aria-busy")));

// Events as they happen.
const rows = document.getElementById("events");
const watch = () => {
	const link = document.getElementById("link");
	const where = new URL(document.body.dataset.liveFrom, location.href);
	if (rows?.dataset.from) {
		where.search = rows.dataset.filter;
		where.searchParams.set("from", rows.dataset.from);
	}
	const source = new EventSource(where);
	let later;
	const soon = () => { clearTimeout(later); later = setTimeout(refresh, 100); };
	const say = (state, text) => { link.dataset.state = state; link.textContent = text; };
	source.onopen = () => { say("on", "● live"); soon(); };
	source.onerror = () => {
		say("lost", "○ connection lost, trying again");
		if (source.readyState === EventSource.CLOSED) setTimeout(watch, 15000); // refused: the browser itself tries only lost ones again
	};
	source.addEventListener("other", soon);
	source.addEventListener("row", e => {
		soon();
		if (!rows?.dataset.from) return;
		const row = parse("<table><tbody>" + e.data + "</tbody></table>").querySelector("tr");
		if (!row || document.getElementById(row.id)) return;
		rows.querySelector(".empty")?.remove();
		row.classList.add("new");
		rows.prepend(row);
		setTimeout(() => row.classList.remove("new"), 1500);
		while (rows.children.length > 300) rows.lastElementChild.remove();
	});
	source.addEventListener("over", () => { source.close(); location.reload(); });
	addEventListener("pagehide", () => source.close());
};
if (document.body.dataset.liveFrom) {
	watch();
	// What is only measured makes no event.
	setInterval(() => { if (!document.hidden) refresh(); }, 15000);
}

lookAgain();

setInterval(() => {
	for (const t of document.querySelectorAll("time[data-ago]")) {
		const s = (Date.now() - Date.parse(t.dateTime)) / 1000;
		if (!(s < 1e9)) continue;
		t.textContent = s < 2 ? "just now" : s < 120 ? `${Math.floor(s)} s ago` : s < 7200 ? `${Math.floor(s / 60)} min ago`
			: s < 172800 ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / 86400)} days ago`;
	}
}, 5000);
