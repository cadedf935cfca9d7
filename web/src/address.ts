/** A page's view state as plain text in the address: `?state=rejected&dataset=weather`. */

export function parseSearch(text: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(text));
}

export function stringifySearch(search: Record<string, unknown>): string {
  const wanted = Object.entries(search).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(wanted.map(([name, value]) => [name, String(value)])).toString();
  return text && `?${text}`;
}

type Reader = (value: unknown) => string | undefined;

/** Reads a value that is one of those: addresses are typed by people too. */
export function among<const Value extends string>(values: readonly Value[]) {
  return (value: unknown): Value | undefined => values.find((each) => each === value);
}

export function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** What a route takes from the address: what cannot be read is left out. */
export function searchOf<Readers extends Readonly<Record<string, Reader>>>(readers: Readers) {
  type Read = { readonly [Name in keyof Readers]?: ReturnType<Readers[Name]> };
  return (search: Record<string, unknown>): Read =>
    Object.fromEntries(
      Object.entries(readers).map(([name, read]) => [name, read(search[name])]),
    ) as Read;
}

/** The same page with some of its view state changed, for links in parts that many pages have: the
 * route, which reads the address, is what holds the names. */
export function changed(changes: Readonly<Record<string, string | undefined>>): never {
  return ((before: object) => ({ ...before, ...changes })) as never;
}
