/** A page's view state as plain text in the address: `?state=rejected&dataset=weather`. */

type Held = string | readonly string[] | undefined;

/** A name that stands there more than once holds the list of its values. */
export function parseSearch(text: string): Record<string, string | string[]> {
  const params = new URLSearchParams(text);
  return Object.fromEntries(
    [...new Set(params.keys())].map((name) => {
      const values = params.getAll(name);
      return [name, values.length > 1 ? values : (values[0] ?? "")];
    }),
  );
}

export function stringifySearch(search: Record<string, unknown>): string {
  const wanted = Object.entries(search).flatMap(([name, value]) =>
    [value].flat().map((each) => [name, String(each ?? "")]),
  );
  const text = new URLSearchParams(wanted.filter(([, value]) => value !== "")).toString();
  return text && `?${text}`;
}

type Reader = (value: unknown) => Held;

/** Reads a value that is one of those: addresses are typed by people too. */
export function among<const Value extends string>(values: readonly Value[]) {
  return (value: unknown): Value | undefined => values.find((each) => each === value);
}

export function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Reads a list of such values, in which each stands once. */
export function many<Value extends string>(read: (value: unknown) => Value | undefined) {
  return (value: unknown): Value[] | undefined => {
    const values = new Set([value].flat().map(read));
    const found = [...values].filter((each) => each !== undefined);
    return found.length > 0 ? found : undefined;
  };
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
export function changed(changes: Readonly<Record<string, Held>>): never {
  return ((before: object) => ({ ...before, ...changes })) as never;
}
