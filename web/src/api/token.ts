/**
 * The operator's token of a stack on one machine. `up` prints an address that carries it in the
 * fragment, which no server sees; the page takes it out of the address bar and keeps it for this
 * tab. A new tab asks the others. Where a proxy signs people in (IAP) there is no token at all.
 */

const KEY = "eventpulse.token";
const ANSWER_WITHIN_MS = 150;

type Message = { readonly wanted: true } | { readonly token: string };

function openChannel(): BroadcastChannel | null {
  return "BroadcastChannel" in globalThis ? new BroadcastChannel(KEY) : null;
}

export function readToken(): string | null {
  return sessionStorage.getItem(KEY);
}

export function keepToken(token: string): void {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEY);
}

/** Takes `#token=…` out of the address, so that it is in no history, bookmark or shared link. */
export function adoptToken(): void {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return;
  keepToken(token);
  history.replaceState(history.state, "", location.pathname + location.search);
}

/** Answers other tabs of this origin that ask for the token. */
export function shareToken(): void {
  const channel = openChannel();
  channel?.addEventListener("message", (event: MessageEvent<Message>) => {
    const token = readToken();
    if ("wanted" in event.data && token !== null) channel.postMessage({ token } satisfies Message);
  });
}

/** The token that another tab has; null when none answers in time. */
export function askOtherTabs(): Promise<string | null> {
  const channel = openChannel();
  if (channel === null) return Promise.resolve(null);
  return new Promise((resolve) => {
    const end = (token: string | null) => {
      channel.close();
      clearTimeout(timer);
      resolve(token);
    };
    const timer = setTimeout(() => end(null), ANSWER_WITHIN_MS);
    channel.addEventListener("message", (event: MessageEvent<Message>) => {
      if ("token" in event.data) end(event.data.token);
    });
    channel.postMessage({ wanted: true } satisfies Message);
  });
}
