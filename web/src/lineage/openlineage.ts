/** What the pages read of OpenLineage run events. */

export interface ColumnOrigin {
  readonly column: string;
  readonly from: readonly string[];
}

interface ColumnLineage {
  readonly fields?: Readonly<
    Record<
      string,
      { readonly inputFields?: readonly { readonly name: string; readonly field: string }[] }
    >
  >;
}

interface Output {
  readonly facets?: { readonly columnLineage?: ColumnLineage };
}

/** Of each output column the columns that it is made of, as the last event says. */
export function readColumnOrigins(
  events: readonly Readonly<Record<string, unknown>>[],
): readonly ColumnOrigin[] {
  const outputs = (events.at(-1)?.outputs ?? []) as readonly Output[];
  return outputs.flatMap(({ facets }) =>
    Object.entries(facets?.columnLineage?.fields ?? {}).map(([column, { inputFields = [] }]) => ({
      column,
      from: [...new Set(inputFields.map((each) => each.field))],
    })),
  );
}
