{{- define "lockmaster.labels" -}}
app.kubernetes.io/name: lockmaster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: lockmaster
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "lockmaster.selector" -}}
app.kubernetes.io/name: lockmaster
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lockmaster.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* The guards are files, not templates, because the operator compiles the same files in: it
fills the same two placeholders and then compares what is installed with what it was built with. */}}
{{- define "lockmaster.filled" -}}
{{- .text | replace "__NAMESPACE__" .root.Release.Namespace | replace "__SERVICE_ACCOUNT__" .root.Values.serviceAccount.name -}}
{{- end }}

{{- /* The list of registries as the operator reads it: a Secret's name becomes the file that it is
mounted as. */}}
{{- define "lockmaster.registries" -}}
{{- $registries := list -}}
{{- range .Values.registries -}}
{{- $registry := include "lockmaster.registry" . | fromYaml -}}
{{- if .mirrors -}}
{{- $mirrors := list -}}
{{- range .mirrors -}}
{{- $mirrors = append $mirrors (include "lockmaster.registry" . | fromYaml) -}}
{{- end -}}
{{- $_ := set $registry "mirrors" $mirrors -}}
{{- end -}}
{{- $registries = append $registries $registry -}}
{{- end -}}
{{- dict "registries" $registries | toYaml -}}
{{- end }}

{{- define "lockmaster.registry" -}}
{{- $registry := omit . "credentialsSecret" -}}
{{- with .credentialsSecret -}}
{{- $_ := set $registry "credentials" (printf "/etc/lockmaster/credentials/%s/.dockerconfigjson" .) -}}
{{- end -}}
{{- toYaml $registry -}}
{{- end }}

{{- /* The names of these Secrets, each once. */}}
{{- define "lockmaster.credentials" -}}
{{- $names := list -}}
{{- range .Values.registries -}}
{{- $names = append $names (.credentialsSecret | default "") -}}
{{- range .mirrors -}}
{{- $names = append $names (.credentialsSecret | default "") -}}
{{- end -}}
{{- end -}}
{{- dict "names" (without $names "" | uniq | sortAlpha) | toYaml -}}
{{- end }}
