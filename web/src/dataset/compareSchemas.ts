type Schema = Readonly<Record<string, string>>;

export interface SchemaChange {
  readonly column: string;
  readonly kind: "added" | "removed" | "retyped";
  readonly before: string | null;
  readonly after: string | null;
}

/** The columns that differ, by name; the order of columns is no difference. */
export function compareSchemas(before: Schema, after: Schema): readonly SchemaChange[] {
  const columns = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return columns.flatMap((column) => {
    const [was, is] = [before[column] ?? null, after[column] ?? null];
    if (was === is) return [];
    const kind = was === null ? "added" : is === null ? "removed" : "retyped";
    return [{ column, kind, before: was, after: is }];
  });
}
